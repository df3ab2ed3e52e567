//! The files of `ops/deploy` are read as their tools read them, and say nothing that `millrace run` does not understand.

mod nats;
mod yaml;

use crate::support::millrace;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

const FOLDER: &str = "../ops/deploy";
const ROLES: [&str; 3] = ["api", "projector", "worker"];

/// A process as a file starts it.
struct Started {
    name: String,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    replicas: usize,
}

fn documents(name: &str) -> Vec<Value> {
    let path = Path::new(FOLDER).join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    yaml::documents(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().map(|items| items.iter().filter_map(scalar).collect()).unwrap_or_default()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn map(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), scalar(value)?))).collect()
}

fn compose() -> BTreeMap<String, Value> {
    let file = documents("compose.yaml").remove(0);
    file["services"].as_object().expect("services").clone().into_iter().collect()
}

fn kubernetes() -> Vec<Value> {
    ["millrace.yaml", "nats.yaml", "scylla.yaml"]
        .iter()
        .flat_map(|name| documents(&format!("kubernetes/{name}")))
        .collect()
}

fn started() -> Vec<Started> {
    let mut out = Vec::new();
    for (name, service) in compose() {
        if service["image"].as_str().is_some_and(|image| image.starts_with("millrace:")) {
            let (arguments, environment) = (texts(&service["command"]), map(&service["environment"]));
            out.push(Started { name: format!("compose {name}"), arguments, environment, replicas: 1 });
        }
    }
    let all = kubernetes();
    let settings = |name: &str| {
        let found = all
            .iter()
            .find(|one| one["kind"].as_str() == Some("ConfigMap") && one["metadata"]["name"].as_str() == Some(name));
        map(&found.unwrap_or_else(|| panic!("no ConfigMap {name}"))["data"])
    };
    for one in all.iter().filter(|one| one["kind"].as_str() == Some("StatefulSet")) {
        let container = &one["spec"]["template"]["spec"]["containers"][0];
        if container["name"].as_str() != Some("millrace") {
            continue;
        }
        let name = one["metadata"]["name"].as_str().expect("a name");
        let from = container["envFrom"][0]["configMapRef"]["name"].as_str().expect("its settings");
        out.push(Started {
            name: format!("kubernetes {name}"),
            arguments: texts(&container["args"]),
            environment: settings(from),
            replicas: usize::try_from(one["spec"]["replicas"].as_i64().expect("replicas")).expect("a count"),
        });
    }
    out
}

/// Flags and variables of `millrace run`.
fn known() -> (BTreeSet<String>, BTreeSet<String>) {
    let help = millrace(&["run", "--help"], &[]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let flags = flags.map(|line| format!("--{}", line.split([' ', '=', '<']).next().unwrap_or_default())).collect();
    let variables = help.match_indices("[env: ").map(|(at, mark)| {
        let rest = &help[at + mark.len()..];
        rest[..rest.find(['=', ']']).unwrap_or(0)].to_owned()
    });
    (flags, variables.collect())
}

#[test]
fn what_they_start_understands_every_flag_and_variable() {
    let (flags, variables) = known();
    assert!(flags.contains("--role") && variables.contains("MILLRACE_NATS"), "{flags:?} {variables:?}");
    let mut roles: BTreeMap<(String, String), usize> = BTreeMap::new();
    for Started { name, arguments, environment, replicas } in started() {
        assert_eq!(arguments.first().map(String::as_str), Some("run"), "{name}");
        for flag in arguments.iter().filter(|argument| argument.starts_with("--")) {
            assert!(flags.contains(flag), "{name}: {flag} is no flag of millrace run");
        }
        for variable in environment.keys() {
            assert!(variables.contains(variable), "{name}: {variable} is no variable of millrace run");
        }
        let role = arguments.iter().position(|argument| argument == "--role").map(|at| arguments[at + 1].clone());
        let file = name.split(' ').next().unwrap_or_default().to_owned();
        *roles.entry((file, role.expect("a role"))).or_default() += replicas;
        // All of it is taken; then the files of secrets are missing, which is said.
        let folder = tempfile::tempdir().expect("a folder");
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let data = folder.path().join("data").display().to_string();
        if let Some(at) = arguments.iter().position(|argument| *argument == "--data-dir") {
            arguments[at + 1] = &data;
        }
        let mut given: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let shared = folder.path().display().to_string();
        given.retain(|(name, _)| {
            !["MILLRACE_STATUS_LISTEN", "MILLRACE_LISTEN", "MILLRACE_SHARED_DIR", "MILLRACE_DATA_DIR"].contains(name)
        });
        given.extend([("MILLRACE_SHARED_DIR", shared.as_str()), ("MILLRACE_DATA_DIR", data.as_str())]);
        let listen = arguments.iter().position(|argument| *argument == "--listen");
        match listen {
            Some(at) => arguments[at + 1] = "127.0.0.1:0",
            None => given.push(("MILLRACE_LISTEN", "127.0.0.1:0")),
        }
        let output = millrace(&arguments, &given);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("/run/secrets/") && said.contains("millrace: ") && !said.contains("Usage:"),
            "{name}: {said}"
        );
    }
    for file in ["compose", "kubernetes"] {
        for role in ROLES {
            assert!(
                roles.get(&(file.to_owned(), role.to_owned())).is_some_and(|count| *count >= 2),
                "{file}: two of {role}"
            );
        }
    }
}

#[test]
fn images_are_pinned_and_secrets_are_named_only() {
    let mut images: Vec<String> =
        compose().values().filter_map(|service| service["image"].as_str().map(str::to_owned)).collect();
    for one in kubernetes() {
        let containers = one["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
        images.extend(containers.iter().filter_map(|container| container["image"].as_str().map(str::to_owned)));
        if one["kind"].as_str() == Some("ScyllaCluster") {
            let spec = &one["spec"];
            images.push(format!(
                "{}:{}",
                spec["repository"].as_str().expect("an image"),
                spec["version"].as_str().expect("a version")
            ));
            assert_eq!(spec["datacenter"]["racks"][0]["members"].as_i64(), Some(3));
        }
        assert_ne!(one["kind"].as_str(), Some("Secret"), "secrets are made by hand");
    }
    for image in &images {
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version"));
        assert!(tag.contains(|c: char| c.is_ascii_digit()), "{image} is not pinned");
    }
    let of = |name: &str| images.iter().filter(|image| image.contains(name)).collect::<BTreeSet<_>>();
    assert!(images.iter().any(|image| image.starts_with("scylladb/scylla:")));
    assert_eq!(of("nats:").len(), 1, "one version of nats-server");
    for Started { name, environment, .. } in started() {
        for (variable, value) in &environment {
            let secret = ["CREDENTIALS", "ROOT_KEY", "_CA"].iter().any(|word| variable.ends_with(word));
            assert!(!secret || value.starts_with("/run/secrets/"), "{name}: {variable} is no file of a secret");
        }
        assert_eq!(environment["MILLRACE_NATS_REPLICAS"], "3");
        assert!(environment["MILLRACE_READ_STORE"].contains("replication=3"));
    }
    let used: BTreeSet<String> = compose().values().flat_map(|service| texts(&service["secrets"])).collect();
    let file = documents("compose.yaml").remove(0);
    let declared: BTreeSet<String> = file["secrets"].as_object().expect("secrets").keys().cloned().collect();
    assert_eq!(used, declared, "every secret is used, and declared");
    for path in ["scylla/scylla.yaml", "Dockerfile"] {
        let path: PathBuf = Path::new(FOLDER).join(path);
        assert!(path.is_file(), "{}", path.display());
    }
}
