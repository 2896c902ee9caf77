//! Which API server is spoken to, as whom, and by which way.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drop_kube::testing::ApiServer;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::program::{Program, api_server, file, policy};

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

/// Starts the program and waits until it has asked for its rights.
fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Program {
    let mut program = Program::start(&file(&policy("delete: {}")), arguments, environment);
    program.logged("the account has every right that the policies need");
    program
}

fn was_asked(server: &ApiServer) -> bool {
    !server.requests().is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubeconfig_names_several_files_and_an_option_the_context() {
    let ((_, one), (_, other)) = (api_server().await, api_server().await);
    let files = (
        file(&one.kubeconfig_with("one", "", "token: first")),
        file(&other.kubeconfig_with("other", "", "token: second")),
    );
    let both = format!("{}:{}", path(&files.0), path(&files.1));
    let _program = start(&[], &[("KUBECONFIG", &both)]);
    assert!(
        was_asked(&one) && !was_asked(&other),
        "the first file's context is the current one"
    );
    let _program = start(&["--context", "other"], &[("KUBECONFIG", &both)]);
    assert_eq!(other.requests()[0].authorization, "Bearer second");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kubeconfig_the_one_at_home_is_taken() {
    let (_, server) = api_server().await;
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".kube")).unwrap();
    let token = file("from a file");
    let user = format!("tokenFile: '{}'", path(&token));
    std::fs::write(
        home.path().join(".kube/config"),
        server.kubeconfig_with("home", "", &user),
    )
    .unwrap();
    let _program = start(&[], &[("HOME", home.path().to_str().unwrap())]);
    assert_eq!(server.requests()[0].authorization, "Bearer from a file");
}

/// What a pod has is read where Kubernetes mounts it, which no test can be: what is missing is named.
#[test]
fn in_a_cluster_what_is_missing_of_the_service_account_is_named() {
    if Path::new("/var/run/secrets/kubernetes.io").exists() {
        return;
    }
    let said = |variables: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_drop-server"))
            .args(["serve", "--policy", path(&file(&policy("delete: {}")))])
            .env_clear()
            .env("HOME", "/nonexistent")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64));
        String::from_utf8(output.stderr).unwrap()
    };
    let neither = "neither a kubeconfig nor a service account can be used: ";
    let outside = said(&[]);
    assert!(
        outside.contains(neither) && outside.contains("incluster environment variable"),
        "{outside}"
    );
    let inside = said(&[
        ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
    ]);
    assert!(
        inside.contains(neither) && inside.contains("failed to read the default namespace"),
        "{inside}"
    );
}

/// A proxy that speaks CONNECT, and how many connections went through it.
struct Proxy {
    url: String,
    through: Arc<AtomicUsize>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let through = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&through);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, Arc::clone(&count)));
            }
        });
        Self { url, through }
    }
}

async fn pass(mut client: TcpStream, through: Arc<AtomicUsize>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let to = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next())
        .unwrap();
    let mut server = TcpStream::connect(to).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    through.fetch_add(1, Ordering::Relaxed);
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_goes_through_the_proxy_that_is_named_unless_the_api_server_is_exempt() {
    let (_, server) = api_server().await;
    for (in_kubeconfig, in_environment, not_for, used) in [
        (false, false, "", false),
        (true, false, "", true),
        (false, true, "", true),
        (false, true, "127.0.0.0/8", false),
        (false, true, "example.org", true),
        (true, false, "127.0.0.0/8", true),
    ] {
        let proxy = Proxy::start().await;
        let cluster = format!("proxy-url: '{}'", proxy.url);
        let config = file(&server.kubeconfig_with("fake", if in_kubeconfig { &cluster } else { "" }, ""));
        let url = if in_environment { proxy.url.as_str() } else { "" };
        let environment = [
            ("KUBECONFIG", path(&config)),
            ("HTTP_PROXY", url),
            ("NO_PROXY", not_for),
        ];
        let _program = start(&[], &environment);
        let was_used = proxy.through.load(Ordering::Relaxed) > 0;
        assert_eq!(was_used, used, "{in_kubeconfig} {in_environment} {not_for}");
    }
}
