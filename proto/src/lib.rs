//! The control plane's gRPC contract `meridian.v1`: messages, clients and servers, generated from `meridian/v1/*.proto`,
//! which say what everything means; and what load testers on several machines say to each other.

pub mod hex;

/// The contract's first version.
pub mod v1 {
    // What is generated has the contract's comments, but not on everything.
    #![allow(missing_docs, clippy::all, clippy::too_many_lines, unreachable_pub)]
    tonic::include_proto!("meridian.v1");
}

/// Between load testers on several machines: `meridian.loadtest.v1`.
pub mod loadtest {
    #![allow(missing_docs, clippy::all, clippy::too_many_lines, unreachable_pub)]
    tonic::include_proto!("meridian.loadtest.v1");
}

/// All files of the control plane's contract as a `google.protobuf.FileDescriptorSet`: for gRPC reflection, and to see that a change
/// breaks nobody.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/meridian.v1.binpb"));
