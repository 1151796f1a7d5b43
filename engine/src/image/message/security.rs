//! Seccomp filters and AppArmor policy.
//!
//! Field numbers are those of CRIU 4.2's `images/{seccomp,apparmor}.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Base64};

/// One classic BPF filter; `prev` is the index of the one installed before it.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeccompFilter {
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "As::<Base64>")]
    pub filter: Vec<u8>,
    #[prost(uint32, optional, tag = "2")]
    pub prev: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    pub flags: Option<u32>,
}

/// All seccomp filters (`seccomp.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeccompEntry {
    #[prost(message, repeated, tag = "1")]
    pub seccomp_filters: Vec<SeccompFilter>,
}

/// One AppArmor policy blob as the kernel shows it in `raw_data`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AaPolicy {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", required, tag = "2")]
    #[serde(with = "As::<Base64>")]
    pub blob: Vec<u8>,
}

/// An AppArmor namespace with its policies and children.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AaNamespace {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub policies: Vec<AaPolicy>,
    #[prost(message, repeated, tag = "3")]
    pub namespaces: Vec<AaNamespace>,
}

/// The AppArmor namespaces that the tasks use (`apparmor.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApparmorEntry {
    #[prost(message, repeated, tag = "1")]
    pub namespaces: Vec<AaNamespace>,
}
