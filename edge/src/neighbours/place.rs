//! Where an edge is dialled: a host's name or address, and a port.

use serde::Deserialize;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// `10.0.0.1:4444`, `[::1]:4444` or `geneva.example.org:4444`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub struct Place {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// A text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no address; try 'host:port'")]
pub struct NoPlace(String);

/// Bytes of a host's name, as DNS allows them.
const LONGEST_NAME: usize = 253;

impl Place {
    /// The host's name or address.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.clone(),
        }
    }

    /// Its addresses now, looked up if it has a name.
    ///
    /// # Errors
    /// The name cannot be resolved.
    pub async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.host {
            Host::Address(address) => Ok(vec![SocketAddr::new(*address, self.port)]),
            Host::Name(name) => {
                let found = tokio::net::lookup_host((name.as_str(), self.port)).await?;
                Ok(found.collect())
            }
        }
    }
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Place {
        Place {
            host: Host::Address(address.ip()),
            port: address.port(),
        }
    }
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Place, NoPlace> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
        let parts = text.rsplit_once(':');
        let named = parts.filter(|(name, _)| {
            !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(fits)
        });
        let (name, port) = named.ok_or_else(|| NoPlace(text.to_owned()))?;
        match port.parse() {
            Ok(port) if port > 0 => Ok(Place {
                host: Host::Name(name.to_owned()),
                port,
            }),
            _ => Err(NoPlace(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = NoPlace;

    fn try_from(text: String) -> Result<Place, NoPlace> {
        text.parse()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_places_and_come_out_as_they_went_in() {
        for text in ["10.0.0.1:4444", "[::1]:4444", "geneva.example.org:4444"] {
            let place: Place = text.parse().expect(text);
            assert_eq!(place.to_string(), text);
        }
    }

    #[test]
    fn what_has_no_port_or_an_odd_name_is_no_place() {
        for text in [
            "10.0.0.1", "geneva", "geneva:0", ":4444", "a b:1", "x:99999", "",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
