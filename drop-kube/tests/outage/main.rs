//! The API server itself is killed and frozen.
//!
//! Each test starts a control plane of its own, with `../shared/control-plane/start`: on a shared one whatever else used
//! it would fail. One waits for the other, because a control plane takes some memory.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "functions beside the tests fail as tests do"
)]

#[path = "../cluster/fixture.rs"]
#[expect(dead_code, reason = "the tests beside it use the rest")]
mod fixture;
#[path = "../cluster/manifest.rs"]
mod manifest;
#[path = "../cluster/scene.rs"]
#[expect(dead_code, reason = "the tests beside it use the rest")]
mod scene;
#[path = "../cluster/storm.rs"]
mod storm;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use drop_kube::{Connect, connect, connect_for_watches};
use fixture::Real;
use tempfile::TempDir;
use tokio::sync::Mutex;

/// Held by the test that has a control plane.
static TURN: Mutex<()> = Mutex::const_new(());

/// What is done to the API server.
#[derive(Clone, Copy)]
enum Outage {
    /// It is killed, and started again.
    Killed,
    /// It stands still for longer than a request is waited for.
    Frozen,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "reads ../shared, which .ci/run has"]
async fn a_storm_survives_the_death_of_the_api_server() {
    survives(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "reads ../shared, which .ci/run has"]
async fn a_storm_survives_an_api_server_that_stands_still() {
    survives(Outage::Frozen).await;
}

async fn survives(outage: Outage) {
    let _turn = TURN.lock().await;
    let plane = Plane::start();
    let to = plane.connect();
    let real = Real::at(&to, "outage").await;
    let clients = [
        connect(&to).await.unwrap(),
        connect_for_watches(&to).await.unwrap(),
    ];
    storm::survives(&real, clients, plane.suffers(outage)).await;
}

/// A control plane whose API server can be signalled. It ends with this.
struct Plane {
    folder: TempDir,
    kubeconfig: PathBuf,
}

impl Plane {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = control_plane("start", folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "no control plane: {said}");
        let kubeconfig = String::from_utf8(output.stdout).unwrap().trim().into();
        Self { folder, kubeconfig }
    }

    fn connect(&self) -> Connect {
        Connect {
            kubeconfig: Some(self.kubeconfig.clone()),
            context: None,
        }
    }

    async fn suffers(&self, outage: Outage) {
        match outage {
            Outage::Killed => self.signal("KILL"),
            Outage::Frozen => {
                let _frozen = Frozen::new(self);
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
        self.until_ready().await;
    }

    fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.folder.path().join("kube-apiserver.pid")).unwrap();
        let sent = Command::new("kill").args(["-s", name, pid.trim()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the API server says that it is ready.
    async fn until_ready(&self) {
        let client = connect(&self.connect()).await.unwrap();
        for _ in 0..600 {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            let asked = tokio::time::timeout(Duration::from_secs(1), client.request_text(request)).await;
            if matches!(asked, Ok(Ok(_))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the API server does not come back");
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        let _ = control_plane("stop", self.folder.path()).status();
    }
}

fn control_plane(verb: &str, folder: &Path) -> Command {
    let mut command = Command::new(format!(
        "{}/../../shared/control-plane/{verb}",
        env!("CARGO_MANIFEST_DIR")
    ));
    command.arg(folder);
    command
}

/// The API server stands still until this is dropped, whatever becomes of the test.
struct Frozen<'a>(&'a Plane);

impl<'a> Frozen<'a> {
    fn new(plane: &'a Plane) -> Self {
        plane.signal("STOP");
        Self(plane)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.signal("CONT");
    }
}
