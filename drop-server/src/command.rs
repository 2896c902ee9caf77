//! The command line.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::offline::{Check, Explain, Print, Rbac};

/// Receives Falco's alerts and drops the offending pods, within the limits of a policy.
#[derive(Debug, Parser)]
#[command(name = "drop-server", version)]
pub struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Receive alerts and act on them.
    Serve(Serve),
    /// Look for mistakes in policies, and for what is legal but dangerous.
    Check(Check),
    /// Say of each response why it matches an alert or not, and what it would do.
    Explain(Explain),
    /// Print policies as they take effect, lists and macros replaced.
    Print(Print),
    /// Print the least rights that policies need of an API server, as manifests.
    Rbac(Rbac),
    /// Show the whole way of an alert on loopback, with a cluster in memory.
    #[cfg(feature = "demo")]
    Demo(Demo),
}

/// How to serve.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// A policy file, or a directory of them; may be given several times. They act side by side.
    #[arg(long, value_name = "PATH", env = "DROP_POLICY", required = true)]
    pub(crate) policy: Vec<PathBuf>,
    /// The address to listen on; by default port PORT, or 8080, of every IPv4 interface.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// The port to listen on if --listen is not given: Knative sets it.
    #[arg(long, env = "PORT", default_value = "", value_parser = port, hide_default_value = true, hide = true)]
    pub(crate) port: u16,
    /// Where the pods are.
    #[arg(long, value_enum, default_value_t = Where::Kubernetes)]
    pub(crate) cluster: Where,
    /// The context of the kubeconfig, instead of its current one.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// A file of keys, an id and a secret a line: only events signed with one of them are accepted.
    #[arg(long, value_name = "FILE", env = "DROP_SIGNING_KEYS")]
    pub(crate) signing_keys: Option<PathBuf>,
    /// The namespace of falco-drop itself, which is protected; by default that of its service account.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Which of several replicas this is, in the Events that it posts: the name of its pod.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub(crate) instance: Option<String>,
    /// Post no Kubernetes Events about what was done.
    #[arg(long)]
    pub(crate) no_events: bool,
}

/// 8080 where it is empty, as a variable may be that nothing was filled in for.
fn port(text: &str) -> Result<u16, &'static str> {
    if text.is_empty() {
        return Ok(8080);
    }
    text.parse().map_err(|_| "expected a number from 0 to 65535")
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "expected an address and a port, such as `127.0.0.1:8080` or `[::]:8080`")
}

/// Where the pods are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Where {
    /// A Kubernetes cluster: the kubeconfig, or the service account in the cluster.
    Kubernetes,
    /// A cluster in memory with one workload, to try things out.
    Memory,
}

/// How to show the way of an alert.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The policy to show it under, instead of the demo's own.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// End after the first alert: with code 0 if its pod was dropped, else with code 1.
    #[arg(long)]
    pub(crate) once: bool,
}

/// What is wrong with the configuration, as sysexits has it (`EX_USAGE`).
const BAD_CONFIGURATION: u8 = 64;

/// Runs the program with these arguments to its end. The code is 0 when all went well, 64 when the arguments or the
/// configuration are wrong, and 1 when something failed later.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match Command::try_parse_from(arguments) {
        Ok(command) => command,
        Err(help_or_mistake) => {
            // Nothing is left to say where standard output is closed.
            let _ = help_or_mistake.print();
            return if help_or_mistake.use_stderr() {
                BAD_CONFIGURATION.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    carry_out(command.what).await.unwrap_or_else(|error| {
        say(&error.to_string());
        match error {
            Failure::Configuration(_) => BAD_CONFIGURATION.into(),
            Failure::Running(_) => ExitCode::FAILURE,
        }
    })
}

async fn carry_out(what: What) -> Result<ExitCode, Failure> {
    let _log = crate::logs::start()?;
    match what {
        What::Serve(options) => crate::run::serve(options).await.map(|()| ExitCode::SUCCESS),
        What::Check(options) => crate::offline::check(&options),
        What::Explain(options) => crate::offline::explain(&options),
        What::Rbac(options) => crate::offline::rbac(&options),
        What::Print(options) => crate::offline::print(&options),
        #[cfg(feature = "demo")]
        What::Demo(options) => crate::demo::run(options).await,
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot start this way.
    Configuration(anyhow::Error),
    /// Something it needs failed.
    Running(anyhow::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Configuration(error) | Self::Running(error) => write!(f, "{error:#}"),
        }
    }
}

/// For people, on standard error: a diagnostic has lines of its own, which a log would fold.
pub(crate) fn say(text: &str) {
    // Where it is closed nobody reads it.
    let _ = writeln!(io::stderr(), "drop-server: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_port_is_the_usual_one() {
        assert_eq!((port(""), port("0"), port("65535")), (Ok(8080), Ok(0), Ok(65535)));
        for wrong in [" ", "http", "65536", "-1"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }
}
