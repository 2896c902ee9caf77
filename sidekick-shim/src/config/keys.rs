//! Every key there is: those that mean something here, and those of falcosidekick that do not.
//!
//! A key is a path of the file, such as `cloudevents.address`. Its variable is the path in capitals with `_` for `.`,
//! as viper has it for falcosidekick: `CLOUDEVENTS_ADDRESS`. In a file the case of a key does not count, and neither do
//! underscores: `shim.retryFor` is `SHIM_RETRY_FOR`.

/// The keys that are read.
pub(super) const KNOWN: &[&str] = &[
    "listenaddress",
    "listenport",
    "debug",
    "customfields",
    "templatedfields",
    "customtags",
    "bracketreplacer",
    "prometheus.extralabels",
    "mutualtlsfilespath",
    "mutualtlsclient.certfile",
    "mutualtlsclient.keyfile",
    "mutualtlsclient.cacertfile",
    "tlsclient.cacertfile",
    "tlsserver.deploy",
    "tlsserver.certfile",
    "tlsserver.keyfile",
    "tlsserver.cacertfile",
    "tlsserver.mutualtls",
    "tlsserver.notlsport",
    "tlsserver.notlspaths",
    "cloudevents.address",
    "cloudevents.extensions",
    "cloudevents.extension",
    "cloudevents.minimumpriority",
    "cloudevents.mutualtls",
    "cloudevents.checkcert",
    "shim.spool",
    "shim.durability",
    "shim.spool_bytes",
    "shim.sync",
    "shim.full",
    "shim.event_bytes",
    "shim.linger",
    "shim.send_deadline",
    "shim.retry_for",
    "shim.drain_deadline",
    "shim.basic_file",
    "shim.signing_keys",
    "shim.token_file",
    "shim.sinks",
];

/// Keys of falcosidekick's that have no effect here, each with why.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("outputfieldformat", "an alert's `output` stays as Falco wrote it"),
    (
        "cloudevents.maxconcurrentrequests",
        "requests to a sink are bounded by the shim itself",
    ),
    ("SHIM_SINKS", "sinks besides the first are in a file"),
    ("HTTP_PROXY", "sinks are reached directly"),
    ("HTTPS_PROXY", "sinks are reached directly"),
];

/// Falcosidekick's other outputs: the section of each, and the variables that switch it on.
pub(super) fn outputs() -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'static str>)> {
    include_str!("outputs.txt").lines().map(|line| {
        let mut words = line.split(' ');
        (words.next().unwrap_or_default(), words)
    })
}

/// The variable of a key; a name in capitals is its own.
pub(super) fn variable(key: &str) -> String {
    key.to_ascii_uppercase().replace('.', "_")
}

/// The variable that was meant by one that is none, if that is certain enough: a letter in six differs and two at most, or
/// none but underscores. Kubernetes sets variables of its own for a Service that is named `shim`.
pub(super) fn meant(name: &str) -> Option<String> {
    let in_files_alone = |key: &&&str| WITHOUT_EFFECT.iter().any(|(other, _)| *other == variable(key));
    let variables = || {
        KNOWN
            .iter()
            .filter(move |key| !in_files_alone(key))
            .map(|key| variable(key))
    };
    let section = name.split('_').next().unwrap_or_default();
    let is_ours = KNOWN.iter().any(|key| {
        key.split_once('.')
            .is_some_and(|(own, _)| own.eq_ignore_ascii_case(section))
    });
    let has_no_effect = WITHOUT_EFFECT.iter().any(|(key, _)| variable(key) == name);
    if !is_ours || has_no_effect || variables().any(|known| known == name) {
        return None;
    }
    let letters = normal(name);
    let near = variables().map(|known| (strsim::osa_distance(&letters, &normal(&known)), known));
    let (slips, known) = near.min()?;
    (slips <= (letters.len() / 6).min(2)).then_some(known)
}

/// What of a key counts in a file.
pub(super) fn normal(key: &str) -> String {
    key.to_ascii_lowercase().replace('_', "")
}

/// The nearest of some words: at most a third of the letters differ.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let near = known
        .into_iter()
        .map(|known| (strsim::osa_distance(&normal(word), &normal(known)), known));
    near.filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key_and_another_word_none() {
        assert_eq!(
            nearest("cloudevents.adress", KNOWN.iter().copied()),
            Some("cloudevents.address")
        );
        assert_eq!(
            nearest("shim.retryFro", KNOWN.iter().copied()),
            Some("shim.retry_for")
        );
        assert_eq!(nearest("elephant", KNOWN.iter().copied()), None);
    }

    #[test]
    fn a_slip_in_a_variable_is_seen_and_the_variable_of_a_service_is_none() {
        for (slip, variable) in [
            ("SHIM_BASICFILE", "SHIM_BASIC_FILE"),
            ("SHIM_SIGNING_KEY", "SHIM_SIGNING_KEYS"),
            ("shim_retry_for", "SHIM_RETRY_FOR"),
            ("TLSSERVER_DEPLOYED", "TLSSERVER_DEPLOY"),
            ("CLOUDEVENTS_ADRESS", "CLOUDEVENTS_ADDRESS"),
        ] {
            assert_eq!(meant(slip).as_deref(), Some(variable));
        }
        for key in KNOWN.iter().chain(WITHOUT_EFFECT.iter().map(|(key, _)| key)) {
            assert_eq!(meant(&variable(key)), None);
        }
        let of_services = [
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_HTTP",
            "PORT",
            "PORT_2801_TCP_ADDR",
        ];
        for name in of_services {
            assert_eq!(meant(&format!("SHIM_{name}")), None);
            assert_eq!(meant(&format!("CLOUDEVENTS_{name}")), None);
        }
        assert_eq!(meant("PATH"), None);
    }

    #[test]
    fn each_output_has_a_section_and_a_variable() {
        for (section, mut variables) in outputs() {
            let variable = variables.next().unwrap();
            assert!(
                variable.to_lowercase().starts_with(section),
                "{section}: {variable}"
            );
        }
    }
}
