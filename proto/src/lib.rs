//! The control plane's gRPC contract `meridian.v1`: messages, clients and servers, generated from `meridian/v1/*.proto`,
//! which say what everything means.

pub mod hex;

/// The contract's first version.
pub mod v1 {
    // What is generated has the contract's comments, but not on everything.
    #![allow(missing_docs, clippy::all, clippy::too_many_lines, unreachable_pub)]
    tonic::include_proto!("meridian.v1");
}

/// All of the contract's files as a `google.protobuf.FileDescriptorSet`: for gRPC reflection, and to see that a change
/// breaks nobody.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/meridian.v1.binpb"));
