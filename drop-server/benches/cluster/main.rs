//! drop-server on a real API server, beside a bare loop of kube-rs in the same run: with
//! `FALCO_DROP_TEST_KUBECONFIG` set, `cargo bench -p drop-server --bench cluster -- [acts|memory|watch]`.
//!
//! - *acts*: pods dropped in a second, over HTTP and by the program as it is, without and with Kubernetes Events. Beside
//!   it: a loop of kube-rs that deletes as many running pods of the same Deployment with the same concurrency. Pairs are
//!   interleaved, and the program runs only in its own half.
//! - *memory*: how long the program takes to know the pods of a cluster, and its memory then.
//! - *watch*: how long after a change has reached the connection of the watch it is in the index.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a bench stops where it fails, and prints what it finds"
)]

mod acts;
mod lab;
mod memory;
mod program;
mod proxy;
mod watch;

#[tokio::main]
async fn main() {
    let Some(kubeconfig) = std::env::var_os("FALCO_DROP_TEST_KUBECONFIG").filter(|path| !path.is_empty())
    else {
        println!(
            "cluster: needs FALCO_DROP_TEST_KUBECONFIG, a kubeconfig with all rights on a cluster for tests"
        );
        return;
    };
    let lab = lab::Lab::start(kubeconfig.into()).await;
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted = |what: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == what);
    println!("load: {}", load());
    if is_wanted("acts") {
        acts::measure(&lab).await;
    }
    if is_wanted("memory") {
        memory::measure(&lab).await;
    }
    if is_wanted("watch") {
        watch::measure(&lab).await;
    }
    println!("load: {}", load());
    lab.end().await;
}

/// What else the machine did.
fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The value below which this share of them is.
fn quantile<T: Copy + PartialOrd>(values: &mut [T], share: f64) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a length is an index"
    )]
    let at = (values.len() as f64 * share) as usize;
    values[at.min(values.len() - 1)]
}
