//! The bill of materials, in the form of CycloneDX: the packages that are compiled into `crio`.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::workspace;

/// What is read of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// None is an ordinary one; others are for tests and builds.
    kind: Option<String>,
}

pub(super) fn document(version: &str) -> Result<String> {
    let output = workspace::cargo().args(["metadata", "--format-version", "1", "--locked"]).output()?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    Ok(serde_json::to_string_pretty(&bill(&metadata, version)?)? + "\n")
}

fn bill(metadata: &Metadata, version: &str) -> Result<Value> {
    let root = metadata.packages.iter().find(|package| package.name == "engine" && package.source.is_none());
    let root = root.context("the workspace has no package engine")?;
    let nodes: HashMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![root.id.as_str()]);
    while let Some(id) = waiting.pop() {
        if reached.insert(id) {
            let dependencies = nodes.get(id).map_or(&[][..], |node| node.deps.as_slice());
            let compiled_in = |d: &&Dependency| d.dep_kinds.iter().any(|one| one.kind.is_none());
            waiting.extend(dependencies.iter().filter(compiled_in).map(|d| d.pkg.as_str()));
        }
    }
    let mut packages: Vec<&Package> = metadata.packages.iter().collect();
    packages.retain(|package| package.source.is_some() && reached.contains(package.id.as_str()));
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "crio", "version": version},
        },
        "components": packages.into_iter().map(component).collect::<Vec<_>>(),
    }))
}

fn component(package: &Package) -> Value {
    let Package { name, version, license, .. } = package;
    // What Cargo took before it knew SPDX.
    let expressions = license.iter().map(|words| words.replace('/', " OR "));
    let licenses: Vec<Value> = expressions.map(|expression| json!({"expression": expression})).collect();
    json!({
        "type": "library",
        "name": name,
        "version": version,
        "purl": format!("pkg:cargo/{name}@{version}"),
        "licenses": licenses,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_compiled_in_is_listed() {
        let metadata = json!({
            "packages": [
                {"id": "e", "name": "engine", "version": "1.0.0", "license": null, "source": null},
                {"id": "l", "name": "lib", "version": "2.0.0", "license": "MIT/Apache-2.0", "source": "registry"},
                {"id": "d", "name": "deeper", "version": "3.0.0", "license": "MIT", "source": "registry"},
                {"id": "t", "name": "for-tests", "version": "4.0.0", "license": "MIT", "source": "registry"},
            ],
            "resolve": {"nodes": [
                {"id": "e", "deps": [{"pkg": "l", "dep_kinds": [{"kind": null}]},
                                     {"pkg": "t", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "l", "deps": [{"pkg": "d", "dep_kinds": [{"kind": null}]}]},
            ]},
        });
        let bill = bill(&serde_json::from_value(metadata).unwrap(), "1.0.0").unwrap();
        let purls: Vec<&str> =
            bill["components"].as_array().unwrap().iter().filter_map(|c| c["purl"].as_str()).collect();
        assert_eq!(purls, ["pkg:cargo/deeper@3.0.0", "pkg:cargo/lib@2.0.0"]);
        assert_eq!(bill["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    }

    #[test]
    fn the_bill_of_this_tree_names_what_the_engine_uses() {
        let text = document("1.0.0").unwrap();
        assert!(text.contains("pkg:cargo/prost@") && !text.contains("pkg:cargo/libtest-mimic@"));
    }
}
