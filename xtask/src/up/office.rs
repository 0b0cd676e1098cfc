//! An office's configuration as `meridian-edge` reads it, written from what the talk needs.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::certs::{Authority, Identity};

/// One edge, before it is started.
#[derive(Clone, Debug)]
pub struct Office {
    /// As in `data/offices.csv`.
    pub id: String,
    /// For clients: UDP, and TCP of the same number.
    pub clients: SocketAddr,
    /// For other edges, UDP.
    pub neighbours: SocketAddr,
    /// Other edges, and where to dial those that are dialled.
    pub links: Vec<Neighbour>,
    /// Where others are dialled, if not where they listen: at the near end of an emulated path.
    pub reach: BTreeMap<String, SocketAddr>,
    /// Who gives it neighbours and keys; without it the edge is open to everybody.
    pub control: Option<Control>,
    /// How fast it sends.
    pub congestion: Congestion,
    /// How many clients it takes at a time; what edges do by themselves if none.
    pub max_clients: Option<u32>,
}

/// The control plane, as an edge is told of it.
#[derive(Clone, Debug, Serialize)]
pub struct Control {
    /// Its replicas' URLs.
    pub addresses: Vec<String>,
    /// The authority of their certificates.
    pub ca: PathBuf,
    /// The folder in which the edge keeps what it was told.
    pub state: PathBuf,
}

/// Congestion controllers as the edge's configuration names them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Congestion {
    /// To neighbours.
    pub neighbours: &'static str,
    /// To clients.
    pub clients: &'static str,
}

impl Default for Congestion {
    fn default() -> Self {
        Self {
            neighbours: "steady",
            clients: "steady",
        }
    }
}

/// Another edge, as seen from one.
#[derive(Clone, Debug, Serialize)]
pub struct Neighbour {
    /// Its office's id, which is also the name in its certificate.
    pub office: String,
    /// What it is to the edge.
    pub role: Role,
    /// Where to dial it; a child dials in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
}

/// A neighbour's place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The edge above.
    Parent,
    /// A second edge above.
    BackupParent,
    /// An edge below.
    Child,
    /// A direct link to another region.
    Shortcut,
}

impl Office {
    /// An office on ports of this machine that are free now.
    ///
    /// # Errors
    /// If no port is free.
    pub fn on_free_ports(id: &str, links: Vec<Neighbour>) -> Result<Self> {
        let at = free_addresses().context("no free ports")?;
        Ok(Self {
            links,
            ..Self::at(id, at)
        })
    }

    /// An office without neighbours that listens there, for clients and for edges.
    pub fn at(id: &str, [clients, neighbours]: [SocketAddr; 2]) -> Self {
        Self {
            id: id.to_owned(),
            clients,
            neighbours,
            links: Vec::new(),
            reach: BTreeMap::new(),
            control: None,
            congestion: Congestion::default(),
            max_clients: None,
        }
    }

    /// Writes the configuration, with certificates from `authority`, and says where.
    ///
    /// # Errors
    /// If a certificate cannot be issued or the file not be written.
    pub fn write(&self, folder: &Path, authority: &Authority) -> Result<PathBuf> {
        let own_name = format!("DNS:{}", self.id);
        let towards_edges = authority.identity(&self.id, &[&own_name])?;
        let public = format!("{}-public", self.id);
        let address = format!("IP:{}", self.clients.ip());
        let mut names = vec![own_name.as_str(), "DNS:localhost", "IP:127.0.0.1", "IP:::1"];
        if !names.contains(&address.as_str()) {
            names.push(&address);
        }
        let towards_clients = authority.identity(&public, &names)?;
        let file = folder.join(format!("{}.toml", self.id));
        let config = self.config(authority, &towards_clients, &towards_edges);
        fs::create_dir_all(folder)?;
        fs::write(&file, toml::to_string(&config)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    fn config<'a>(
        &'a self,
        authority: &Authority,
        towards_clients: &'a Identity,
        towards_edges: &'a Identity,
    ) -> Config<'a> {
        Config {
            office: &self.id,
            listen: Listen {
                clients: self.clients,
                neighbours: self.neighbours,
            },
            tls: towards_clients,
            neighbour_tls: NeighbourTls {
                ca: authority.certificate(),
                own: towards_edges,
            },
            access: self.control.is_none().then_some(Access { open: true }),
            congestion: self.congestion,
            limits: self.max_clients.map(|clients| Limits { clients }),
            reach: &self.reach,
            control: self.control.as_ref(),
            neighbour: &self.links,
        }
    }
}

/// Two ports that are free for UDP and TCP. They are held together until both are known, and given
/// back before the edge takes them.
fn free_addresses() -> Result<[SocketAddr; 2]> {
    let (first, second) = (hold_port()?, hold_port()?);
    Ok([first.0.local_addr()?, second.0.local_addr()?])
}

fn hold_port() -> Result<(UdpSocket, TcpListener)> {
    let attempt = || {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let tcp = TcpListener::bind(udp.local_addr()?)?;
        std::io::Result::Ok((udp, tcp))
    };
    // A UDP port whose TCP twin is taken is rare; several in a row are not to be expected.
    (0..10)
        .find_map(|_| attempt().ok())
        .context("no port is free for both UDP and TCP")
}

#[derive(Serialize)]
struct Config<'a> {
    office: &'a str,
    listen: Listen,
    tls: &'a Identity,
    neighbour_tls: NeighbourTls<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Access>,
    congestion: Congestion,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reach: &'a BTreeMap<String, SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<&'a Control>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    neighbour: &'a [Neighbour],
}

#[derive(Serialize)]
struct Listen {
    clients: SocketAddr,
    neighbours: SocketAddr,
}

#[derive(Serialize)]
struct NeighbourTls<'a> {
    ca: PathBuf,
    #[serde(flatten)]
    own: &'a Identity,
}

#[derive(Serialize)]
struct Limits {
    clients: u32,
}

#[derive(Serialize)]
struct Access {
    open: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_the_form_the_edge_reads() {
        let folder = crate::workspace::made("test-office/bangkok").unwrap();
        let authority = Authority::ensure(&folder).unwrap();
        let at = ["127.0.0.1:4443", "127.0.0.1:4444"].map(|at| at.parse().unwrap());
        let mut office = Office::at("bangkok", at);
        office.links = vec![Neighbour {
            office: "geneva".into(),
            role: Role::BackupParent,
            address: Some("127.0.0.1:5000".parse().unwrap()),
        }];
        let text = fs::read_to_string(office.write(&folder, &authority).unwrap()).unwrap();
        let read: toml::Table = text.parse().unwrap();
        assert_eq!(read["office"].as_str(), Some("bangkok"));
        assert_eq!(read["listen"]["clients"].as_str(), Some("127.0.0.1:4443"));
        assert!(
            read["tls"]["certificate"]
                .as_str()
                .unwrap()
                .ends_with("bangkok-public.pem")
        );
        assert!(
            read["neighbour_tls"]["key"]
                .as_str()
                .unwrap()
                .ends_with("bangkok.key")
        );
        assert!(
            read["neighbour_tls"]["ca"]
                .as_str()
                .unwrap()
                .ends_with("ca.pem")
        );
        assert_eq!(read["neighbour"][0]["role"].as_str(), Some("backup-parent"));
        assert_eq!(read["access"]["open"].as_bool(), Some(true));
        assert_eq!(read["congestion"]["clients"].as_str(), Some("steady"));
    }

    #[test]
    fn an_edge_with_a_control_plane_is_not_open_and_has_no_neighbours_of_its_own() {
        let folder = crate::workspace::made("test-office/cairo").unwrap();
        let authority = Authority::ensure(&folder).unwrap();
        let at = ["127.0.0.1:4443", "127.0.0.1:4444"].map(|at| at.parse().unwrap());
        let mut office = Office::at("cairo", at);
        office.max_clients = Some(700);
        office.reach.insert("geneva".into(), at[0]);
        office.control = Some(Control {
            addresses: vec!["https://127.0.0.1:8443".into()],
            ca: authority.certificate(),
            state: folder.join("state"),
        });
        let text = fs::read_to_string(office.write(&folder, &authority).unwrap()).unwrap();
        let read: toml::Table = text.parse().unwrap();
        assert_eq!(read["reach"]["geneva"].as_str(), Some("127.0.0.1:4443"));
        assert_eq!(
            read["control"]["addresses"][0].as_str(),
            Some("https://127.0.0.1:8443")
        );
        assert_eq!(read["limits"]["clients"].as_integer(), Some(700));
        assert!(!read.contains_key("access") && !read.contains_key("neighbour"));
    }

    #[test]
    fn free_ports_differ() {
        let office = Office::on_free_ports("geneva", Vec::new()).unwrap();
        assert_ne!(office.clients, office.neighbours);
    }
}
