//! The clients' sockets: for each worker one UDP socket and one TCP listener, all on one address.

use meridian_session::endpoint::QuicSettings;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// Connections that may wait to be accepted, for each listener.
const BACKLOG: i32 = 1024;
/// How often a port is chosen anew whose number is taken on the other protocol.
const CHOICES: usize = 16;

/// A worker's.
pub(crate) struct Sockets {
    pub(crate) udp: UdpSocket,
    pub(crate) tcp: TcpListener,
}

/// Binds an address for this many workers. With port 0 the system chooses one that is free on both protocols.
///
/// # Errors
/// The address is taken or not ours; the error tells which protocol.
pub(crate) fn bind(address: SocketAddr, workers: usize) -> anyhow::Result<Vec<Sockets>> {
    let choices = if address.port() == 0 { CHOICES } else { 1 };
    let mut result = try_bind(address, workers);
    for _ in 1..choices {
        if result.is_ok() {
            break;
        }
        result = try_bind(address, workers);
    }
    result
}

fn try_bind(address: SocketAddr, workers: usize) -> anyhow::Result<Vec<Sockets>> {
    let busy = |protocol: &str, address: SocketAddr, error: io::Error| {
        let what = format!("{protocol} {address} cannot be bound; is another edge running?");
        anyhow::Error::from(error).context(what)
    };
    let settings = QuicSettings::client_side();
    let udp = shared(workers, |share| {
        let settings = QuicSettings {
            reuse_port: share.is_some(),
            ..settings.clone()
        };
        settings.bind(share.unwrap_or(address))
    })
    .map_err(|error| busy("UDP", address, error))?;
    let address = udp[0].local_addr()?;
    let tcp = shared(workers, |share| {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // An edge that starts again finds the port still in TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(share.is_some())?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(TcpListener::from(socket))
    })
    .map_err(|error| busy("TCP", address, error))?;
    for listener in &tcp {
        SockRef::from(listener).listen(BACKLOG)?;
    }
    Ok(udp
        .into_iter()
        .zip(tcp)
        .map(|(udp, tcp)| Sockets { udp, tcp })
        .collect())
}

/// As many sockets of a kind. The first is bound alone, so that an address another process has is found taken; only then
/// it lets the others in.
fn shared<S: std::os::fd::AsFd>(
    count: usize,
    bind: impl Fn(Option<SocketAddr>) -> io::Result<S>,
) -> io::Result<Vec<S>> {
    let first = bind(None)?;
    let mut sockets = Vec::with_capacity(count);
    if count > 1 {
        let socket = SockRef::from(&first);
        socket.set_reuse_port(true)?;
        let address = socket.local_addr()?.as_socket();
        let address = address.ok_or(io::ErrorKind::InvalidInput)?;
        for _ in 1..count {
            sockets.push(bind(Some(address))?);
        }
    }
    sockets.insert(0, first);
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

    #[test]
    fn all_workers_have_the_same_address() {
        let sockets = bind(ANY.into(), 4).expect("loopback has free ports");
        let address = sockets[0].udp.local_addr().expect("it is bound");
        assert_eq!(sockets.len(), 4);
        for pair in &sockets {
            assert_eq!(pair.udp.local_addr().expect("it is bound"), address);
            assert_eq!(pair.tcp.local_addr().expect("it is bound"), address);
        }
    }

    #[test]
    fn packets_are_spread_over_all_workers() {
        let sockets = bind(ANY.into(), 2).expect("loopback has free ports");
        let address = sockets[0].udp.local_addr().expect("it is bound");
        let senders: Vec<_> = (0..64)
            .map(|_| UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports"))
            .collect();
        for sender in &senders {
            sender.send_to(b"packet", address).expect("it is sent");
        }
        // On loopback what was sent is there to be read.
        let counts: Vec<usize> = sockets
            .iter()
            .map(|pair| {
                let mut buf = [0; 64];
                std::iter::from_fn(|| pair.udp.recv(&mut buf).ok()).count()
            })
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), 64);
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    }

    #[test]
    fn an_address_that_another_edge_has_is_taken_however_many_workers_either_has() {
        for (theirs, ours) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let running = bind(ANY.into(), theirs).expect("loopback has free ports");
            let address = running[0].udp.local_addr().expect("it is bound");
            let error = bind(address, ours).err().expect("it is taken");
            assert!(error.to_string().contains("another edge"), "{error}");
        }
    }
}
