//! Keeps an index of the pods of a cluster, and prints how many there are, how long it took to know them, and what
//! memory that needs: `cargo run -p drop-kube --example index -- [KUBECONFIG [PAGE]]`. It reads, and changes nothing.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::Instant;

use drop_kube::{Connect, Index, Settings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connect = Connect {
        kubeconfig: std::env::args_os().nth(1).map(Into::into),
        ..Connect::default()
    };
    let mut settings = Settings::default();
    if let Some(page) = std::env::args().nth(2) {
        settings.page = page.parse()?;
    }
    let index = Index::connect(&connect, &settings).await?;
    println!("before: {}", memory());
    let (kept, began) = (index.clone(), Instant::now());
    tokio::spawn(async move { kept.keep().await });
    index.warm().await;
    println!(
        "{} pods known after {:?}: {}",
        index.len(),
        began.elapsed(),
        memory()
    );
    let mut changes = index.changes();
    while changes.changed().await.is_ok() {
        println!("{} pods: {}", index.len(), memory());
    }
    Ok(())
}

/// What Linux says of this process's memory; nothing elsewhere.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon"));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}
