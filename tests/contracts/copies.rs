//! Three copies of the log: what was acknowledged to one process is read by every other one, whichever copy answers.

use super::bus::message;
use crate::support::{NatsCluster, skip_slow};
use bus_schema::{
    Address, Cell, Subject, TenantId,
    bus::{Bus, BusOptions, BusUser},
    ids::random_uuid,
    keys::{KeyDirectory, RootKey},
    subject::Family,
};
use workers::smtp::Roots;

/// Keys that are made by one and looked for by the others at once.
const KEYS: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_is_found_through_every_server() {
    if skip_slow() {
        return;
    }
    let cluster = NatsCluster::serve();
    let secrets = tempfile::tempdir().expect("a temporary folder");
    let authority = std::fs::read(cluster.dir().join("ca.pem")).expect("a certificate");
    let credentials = std::fs::read_to_string(cluster.dir().join("credentials")).expect("credentials");
    let (user, password) = credentials.trim().split_once('\n').expect("a user and a password");
    let cell = Cell::try_new("eu1").expect("a cell");
    let connect = async |url: &str| {
        let options = BusOptions {
            url: url.to_owned(),
            user: BusUser::Password { user: user.to_owned(), password: password.to_owned() },
            tls: Some(Roots::from_pem(&authority).expect("a certificate").config()),
            cell: cell.clone(),
            replicas: 3,
        };
        Bus::connect(options).await.expect("the server answers")
    };
    let mut processes = Vec::new();
    for url in cluster.said().split(',') {
        let bus = connect(url).await;
        let made = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while let Err(error) = bus.ensure_streams().await {
            assert!(error.may_pass() && tokio::time::Instant::now() < made, "{error}");
        }
        processes.push((bus.clone(), KeyDirectory::new(bus, root(&secrets))));
    }
    for number in 0..KEYS {
        let tenant = TenantId::try_new(&format!("t{number}")).expect("a name");
        processes[number % 3].1.create_tenant(&tenant).await.expect("a key");
        for (_, keys) in &processes {
            assert!(keys.tenant(&tenant).await.expect("readable").is_some(), "the key of {tenant} is not seen");
        }
        // Whoever asks by a pattern finds it as well.
        let at = Subject::event(&cell, &tenant, Address::new("claim", "probe", random_uuid())).to_string();
        let anywhere = at.replace(&format!(".{tenant}."), ".*.");
        processes[number % 3].0.publish(message(&at, Some(0))).await.expect("stored");
        let found = processes[(number + 1) % 3].0.last_positions(Family::Events, &[anywhere]).await.expect("readable");
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [at]);
        // Nobody made these: their absence is an answer, too.
        let nobody = TenantId::try_new(&format!("n{number}")).expect("a name");
        assert!(processes[0].1.tenant(&nobody).await.expect("readable").is_none());
    }
}

fn root(secrets: &tempfile::TempDir) -> RootKey {
    let path = secrets.path().join("root.key");
    std::fs::write(&path, [7; 32]).expect("a key");
    RootKey::from_file(&path).expect("a root key")
}
