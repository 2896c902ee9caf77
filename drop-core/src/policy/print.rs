//! The effective policy: names replaced, defaults written out, and a policy again.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use super::Policies;
use super::document::{API_VERSION, KIND};
use super::model::{Action, Limit, MinAvailable, Mode, OnBreach, Policy, Protect, Response, Scope, Step};
use super::quantities::written;
use crate::condition;

impl Policies {
    /// The policies as YAML, a document each: lists and macros replaced, defaults written out.
    ///
    /// Read again they are the same policies. What is always protected is not written, for no policy says it.
    #[must_use]
    pub fn print(&self) -> String {
        let documents = self
            .policies
            .iter()
            .zip(&self.places)
            .map(|(policy, (_, places))| {
                Document {
                    policy,
                    names: &places.names,
                }
                .to_string()
            });
        documents.collect::<Vec<_>>().join("---\n")
    }
}

struct Document<'a> {
    policy: &'a Policy,
    names: &'a condition::Scope,
}

impl Display for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.policy;
        writeln!(
            f,
            "apiVersion: {API_VERSION}\nkind: {KIND}\nmetadata:\n  name: {}\nspec:",
            Text(&policy.name)
        )?;
        if let Some(namespaces) = &policy.namespaces {
            writeln!(
                f,
                "  namespaces: [{}]",
                comma(namespaces.iter().map(|name| Text(name.as_str())))
            )?;
        }
        writeln!(f, "  maxAlertAge: {}", written(policy.max_alert_age))?;
        let mut fields = self.names.declarations().peekable();
        if fields.peek().is_some() {
            writeln!(f, "  fields:")?;
            fields.try_for_each(|(name, of)| writeln!(f, "    {}: {of}", Text(name)))?;
        }
        // each response has its own: the policy's is the most that any of them has
        let most = policy
            .responses
            .iter()
            .map(|response| response.mode)
            .max()
            .unwrap_or_default();
        writeln!(f, "  mode: {}", mode(most))?;
        writeln!(f, "  responses:")?;
        policy.responses.iter().try_for_each(|each| response(f, each))?;
        protect(f, &policy.protect)?;
        limits(f, "  ", &policy.limits, true)
    }
}

fn response(f: &mut fmt::Formatter<'_>, response: &Response) -> fmt::Result {
    writeln!(
        f,
        "    - name: {}\n      mode: {}",
        Text(&response.name),
        mode(response.mode)
    )?;
    writeln!(f, "      when: {}", Text(&response.when.to_string()))?;
    match response.min_available {
        Some(MinAvailable::Pods(pods)) => writeln!(f, "      minAvailable: {pods}")?,
        Some(MinAvailable::Percent(percent)) => writeln!(f, "      minAvailable: {percent}%")?,
        None => {}
    }
    limits(f, "      ", &response.limits, false)?;
    writeln!(f, "      do:")?;
    response.actions.iter().try_for_each(|each| step(f, each))
}

fn step(f: &mut fmt::Formatter<'_>, step: &Step) -> fmt::Result {
    let goes_on = if step.continue_on_error {
        ", continueOnError: true"
    } else {
        ""
    };
    f.write_str("        - ")?;
    match &step.action {
        Action::Delete { grace_period_seconds } => writeln!(
            f,
            "delete: {{ gracePeriodSeconds: {grace_period_seconds}{goes_on} }}"
        ),
        Action::Evict { grace_period_seconds } => writeln!(
            f,
            "evict: {{ gracePeriodSeconds: {grace_period_seconds}{goes_on} }}"
        ),
        Action::Label { labels } => writeln!(f, "label: {{ labels: {{ {} }}{goes_on} }}", entries(labels)),
        Action::Annotate { annotations } => writeln!(
            f,
            "annotate: {{ annotations: {{ {} }}{goes_on} }}",
            entries(annotations)
        ),
        Action::Record => writeln!(f, "record: {{}}"),
    }
}

fn entries(entries: &BTreeMap<String, Option<String>>) -> String {
    comma(entries.iter().map(|(key, value)| match value {
        Some(value) => format!("{}: {}", Text(key), Text(value)),
        None => format!("{}: null", Text(key)),
    }))
}

fn protect(f: &mut fmt::Formatter<'_>, protect: &Protect) -> fmt::Result {
    if *protect == Protect::default() {
        return Ok(());
    }
    writeln!(f, "  protect:")?;
    if !protect.namespaces.is_empty() {
        writeln!(
            f,
            "    namespaces: [{}]",
            comma(protect.namespaces.iter().map(|name| Text(name.as_str())))
        )?;
    }
    for selector in &protect.namespace_selectors {
        let labels = selector
            .match_labels
            .iter()
            .map(|(key, value)| format!("{}: {}", Text(key), Text(value)));
        writeln!(
            f,
            "    namespaceSelector: {{ matchLabels: {{ {} }} }}",
            comma(labels)
        )?;
    }
    if protect.workloads.is_empty() {
        return Ok(());
    }
    writeln!(f, "    workloads:")?;
    protect.workloads.iter().try_for_each(|workload| {
        let (namespace, kind, name) = (
            workload.namespace.as_str(),
            workload.kind.as_str(),
            workload.name.as_str(),
        );
        writeln!(
            f,
            "      - {{ namespace: {}, kind: {}, name: {} }}",
            Text(namespace),
            Text(kind),
            Text(name)
        )
    })
}

fn limits(f: &mut fmt::Formatter<'_>, indent: &str, limits: &[Limit], even_none: bool) -> fmt::Result {
    if limits.is_empty() {
        return if even_none {
            writeln!(f, "{indent}limits: []")
        } else {
            Ok(())
        };
    }
    writeln!(f, "{indent}limits:")?;
    limits.iter().try_for_each(|limit| {
        let breach = match limit.on_breach {
            OnBreach::Skip => "skip",
            OnBreach::Disarm => "disarm",
        };
        let (scope, max, per) = (scope(limit.scope), limit.max, written(limit.per));
        writeln!(
            f,
            "{indent}  - {{ scope: {scope}, max: {max}, per: {per}, onBreach: {breach} }}"
        )
    })
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Enforce => "enforce",
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Workload => "workload",
        Scope::Response => "response",
        Scope::Namespace => "namespace",
        Scope::Policy => "policy",
        Scope::Cluster => "cluster",
    }
}

fn comma(items: impl Iterator<Item = impl Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// A text in double quotes, as YAML and JSON read it.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                    write!(f, "\\u{:04x}", u32::from(c))?
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
