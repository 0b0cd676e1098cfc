//! What an edge says of itself, checked.

use super::Desk;
use meridian_control_core::ids::Office;
use meridian_control_core::registry::{self, Addresses, Instance, Registration};
use meridian_proto::v1;
use tonic::Status;

impl Desk {
    /// What an edge registers with, as the registry takes it.
    ///
    /// # Errors
    /// INVALID_ARGUMENT if it cannot be; FAILED_PRECONDITION for an office that is not in the table.
    pub(super) fn registration(
        &self,
        request: &v1::RegisterRequest,
    ) -> Result<Registration, Status> {
        let wrong = |what: String| Status::invalid_argument(what);
        let edge = request.edge.as_ref();
        let edge = edge.ok_or_else(|| wrong("the edge does not say how it is reached".into()))?;
        let office = Office::new(&edge.office).map_err(|error| wrong(error.to_string()))?;
        let known = self.offices.of(&office);
        let known = known.ok_or_else(|| {
            Status::failed_precondition(format!(
                "{office} is not in the table of offices: add it there (geography.offices)"
            ))
        })?;
        for (what, address) in [
            ("neighbour_address", &edge.neighbour_address),
            ("client_address", &edge.client_address),
        ] {
            if !is_address(address) {
                return Err(wrong(format!("`{address}` is no {what}: write host:port")));
            }
        }
        if !(1..=64).contains(&request.instance.len()) {
            return Err(wrong("an instance has a name of 1 to 64 bytes".into()));
        }
        if !edge.failure_domain.is_empty() && Office::new(&edge.failure_domain).is_err() {
            return Err(wrong(format!(
                "`{}` is no failure domain",
                edge.failure_domain
            )));
        }
        let capacity = request.capacity.unwrap_or_default();
        Ok(Registration {
            instance: Instance {
                started_at_ms: request.started_at_ms,
                name: request.instance.clone(),
            },
            place: known.place.clone(),
            addresses: Addresses {
                clients: vec![edge.client_address.clone()],
                neighbours: vec![edge.neighbour_address.clone()],
            },
            capacity: registry::Capacity {
                clients: capacity.clients,
                bits_per_second: Some(capacity.bits_per_second).filter(|bits| *bits > 0),
            },
            domain: domain_of(edge),
            certificate: certificate_of(edge).map_err(wrong)?,
            office,
        })
    }
}

/// `host:port`; an IPv6 host in brackets.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let bracketed = host.starts_with('[') && host.ends_with(']');
    is_port && !host.is_empty() && host.len() <= 253 && (bracketed || !host.contains(':'))
}

/// What fails together with an edge; its office alone if it says nothing.
fn domain_of(edge: &v1::Edge) -> String {
    match edge.failure_domain.is_empty() {
        true => edge.office.clone(),
        false => edge.failure_domain.clone(),
    }
}

/// The hash of the certificate that delegates see; zeros if it needs none.
fn certificate_of(edge: &v1::Edge) -> Result<[u8; 32], String> {
    match edge.certificate_sha256.len() {
        0 => Ok([0; 32]),
        32 => Ok(std::array::from_fn(|n| edge.certificate_sha256[n])),
        bytes => Err(format!("a certificate's SHA-256 has 32 bytes, not {bytes}")),
    }
}

/// The reverse: empty for zeros.
pub(super) fn certificate_to(hash: &[u8; 32]) -> Vec<u8> {
    match hash.iter().all(|byte| *byte == 0) {
        true => Vec::new(),
        false => hash.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["127.0.0.1:4443", "edge.example.org:443", "[::1]:443"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "host",
            "host:",
            ":443",
            "host:0",
            "host:99999",
            "::1:443",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
