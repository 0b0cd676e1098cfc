//! Which offices can have meetings: those in the table, and those whose edges are there.

use crate::plane::Plane;
use crate::records::{EdgeRecord, key};
use meridian_control_core::ids::Office;
use tonic::Status;

/// Only an office that somebody knows goes on: an organiser's slip would make a meeting that nobody finds again.
///
/// # Errors
/// INVALID_ARGUMENT with all there are.
pub(super) fn is_known(plane: &Plane, office: &Office) -> Result<(), Status> {
    let desk = plane.desk();
    let has_edge = plane.record::<EdgeRecord>(&key::edge(office.as_str()));
    if desk.offices.of(office).is_some() || has_edge.is_some() {
        return Ok(());
    }
    let all: Vec<&str> = desk.offices.ids().map(Office::as_str).collect();
    Err(Status::invalid_argument(format!(
        "there is no office `{office}`; there are {}",
        all.join(", ")
    )))
}
