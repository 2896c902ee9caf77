//! `check`, `explain`, `print` and `rbac`: a policy looked at without a cluster.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use drop_core::policy::Policies;
use drop_core::record::escape;
use drop_kube::{Account, rights};
use falco_event::{Namespace, PodName};
use serde::Serialize;

use crate::command::Failure;
use crate::files;

/// Standard input, as a file's name.
const STANDARD_INPUT: &str = "-";

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Policy files, or directories of them; they are checked as a set that acts side by side.
    #[arg(required = true, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// How mistakes and warnings are shown.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// End with code 1 for a warning too.
    #[arg(long)]
    deny_warnings: bool,
}

/// What to explain.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A policy file, or a directory of them; may be given several times.
    #[arg(long, required = true, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// Files of Falco's alerts, one or many in each; `-`, or none, is standard input.
    #[arg(value_name = "ALERT")]
    alerts: Vec<PathBuf>,
    /// How it is shown.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What to print.
#[derive(Debug, Args)]
pub(crate) struct Print {
    /// Policy files, or directories of them.
    #[arg(required = true, value_name = "PATH")]
    policy: Vec<PathBuf>,
}

/// Whom to give rights.
#[derive(Debug, Args)]
pub(crate) struct Rbac {
    /// Policy files, or directories of them.
    #[arg(long, required = true, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// The namespace of the service account.
    #[arg(long, default_value = "falco-drop")]
    namespace: Namespace,
    /// The service account.
    #[arg(long, default_value = "drop-server")]
    name: PodName,
    /// Without the right to post Kubernetes Events, for a server that is told not to.
    #[arg(long)]
    no_events: bool,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Shows every mistake, or where there is none every warning. Code 1 for a mistake.
pub(crate) fn check(options: &Check) -> Result<ExitCode, Failure> {
    let files = files::read(&options.policy).map_err(Failure::Configuration)?;
    let found = match files::policies(&files) {
        Ok(policies) => policies.warnings(),
        Err(mistakes) => mistakes,
    };
    let wrong = found.has_errors() || (options.deny_warnings && !found.is_empty());
    let shown = match options.format {
        Format::Text => found.to_string(),
        Format::Json => json(&found)?,
    };
    show(&shown)?;
    Ok(if wrong {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Shows the policies as they take effect: lists and macros replaced, defaults written out.
pub(crate) fn print(options: &Print) -> Result<ExitCode, Failure> {
    show(&load(&options.policy)?.print())?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the roles and bindings that give an account what these policies need, and no more.
pub(crate) fn rbac(options: &Rbac) -> Result<ExitCode, Failure> {
    let needed = rights(&load(&options.policy)?, crate::cluster::uses(options.no_events));
    let account = Account {
        namespace: options.namespace.clone(),
        name: options.name.to_string(),
    };
    show(&drop_kube::rbac(&needed, &account))?;
    Ok(ExitCode::SUCCESS)
}

/// Shows for every alert and response why its condition holds or not. Code 1 where an alert cannot be read.
pub(crate) fn explain(options: &Explain) -> Result<ExitCode, Failure> {
    let policies = load(&options.policy)?;
    let standard_input = [PathBuf::from(STANDARD_INPUT)];
    let paths = if options.alerts.is_empty() {
        &standard_input[..]
    } else {
        &options.alerts
    };
    let mut all_read = true;
    for path in paths {
        let body = body(path).map_err(Failure::Configuration)?;
        let name = escape(&path.display().to_string());
        if body.trim_ascii_start().starts_with(br#"{"record":"#) {
            crate::command::say(&format!(
                "{name}: these are records of drop-server, which do not hold the alerts' fields; expected what Falco wrote"
            ));
        }
        for alert in policies.explain_all(&body) {
            match alert {
                Ok(alert) if options.format == Format::Text => show(&alert.to_string())?,
                Ok(alert) => show(&json(&alert)?)?,
                Err(why) => {
                    all_read = false;
                    crate::command::say(&format!("{name}: {why}"));
                }
            }
        }
    }
    Ok(if all_read {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn load(paths: &[PathBuf]) -> Result<Policies, Failure> {
    let files = files::read(paths).map_err(Failure::Configuration)?;
    files::parse(&files).map_err(Failure::Configuration)
}

fn body(path: &Path) -> Result<Vec<u8>> {
    if path.as_os_str() != STANDARD_INPUT {
        return std::fs::read(path).with_context(|| format!("alerts `{}`", path.display()));
    }
    let mut body = Vec::new();
    std::io::stdin()
        .read_to_end(&mut body)
        .context("alerts from standard input")?;
    Ok(body)
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value)
        .context("as JSON")
        .map_err(Failure::Running)?;
    Ok(text + "\n")
}

fn show(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let shown = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    shown.context("standard output").map_err(Failure::Running)
}
