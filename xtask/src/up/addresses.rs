//! Loopback addresses of a run's own: all of 127.0.0.0/8 is this machine, and every process gets an address.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
};

use anyhow::{Context, Result};

use crate::workspace;

/// The 254 addresses of `127.a.b.0/24`, this run's for as long as it is held.
#[derive(Debug)]
pub struct Block {
    prefix: [u8; 2],
    /// Nobody else can listen there: whoever does has the block.
    _claim: TcpListener,
}

impl Block {
    /// Takes a block. The same work tree gets the same one every time if it is free: certificates stay good.
    ///
    /// # Errors
    /// If none of many is free.
    pub fn claim() -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        workspace::target().hash(&mut hasher);
        let first = hasher.finish();
        let claimed = (0..TRIES).find_map(|n| {
            let [a, b, ..] = first.wrapping_add(n).to_le_bytes();
            // Far from 127.0, where everybody else is.
            let prefix = [b.max(LOWEST), a];
            let claim = TcpListener::bind((host(prefix, CLAIM_HOST), CLAIM_PORT)).ok()?;
            Some(Self {
                prefix,
                _claim: claim,
            })
        });
        claimed.context("no loopback addresses are free: are other runs going on?")
    }

    /// The address of a number from 1 to 253.
    pub fn host(&self, number: u8) -> IpAddr {
        host(self.prefix, number)
    }

    /// A port at an address that is free for UDP and TCP: this one, or one of those a hundred apart above it. Below what
    /// the system gives away by itself, so that it stays free while whoever has it is not running.
    ///
    /// # Errors
    /// If there is none.
    pub fn port(&self, number: u8, preferred: u16) -> Result<SocketAddr> {
        let ports = (preferred..EPHEMERAL).step_by(100);
        let mut addresses = ports.map(|port| SocketAddr::new(self.host(number), port));
        let is_free =
            |at: &SocketAddr| UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok();
        addresses
            .find(is_free)
            .with_context(|| format!("no port is free at {}", self.host(number)))
    }
}

fn host(prefix: [u8; 2], number: u8) -> IpAddr {
    Ipv4Addr::new(127, prefix[0], prefix[1], number).into()
}

const LOWEST: u8 = 64;

const CLAIM_HOST: u8 = 254;

const CLAIM_PORT: u16 = 12_700;

/// Linux gives ports away from here on.
const EPHEMERAL: u16 = 32_768;

const TRIES: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_one_runs_alone_and_ports_in_use_are_passed_over() {
        let (one, other) = (Block::claim().unwrap(), Block::claim().unwrap());
        assert_ne!(one.host(1), other.host(1));
        let first = one.port(1, 4433).unwrap();
        let _held = UdpSocket::bind(first).unwrap();
        let second = one.port(1, 4433).unwrap();
        assert_eq!(
            (second.ip(), second.port()),
            (first.ip(), first.port() + 100)
        );
        assert_eq!(one.port(2, 4433).unwrap().ip(), one.host(2));
    }
}
