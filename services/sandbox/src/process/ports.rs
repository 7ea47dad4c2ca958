//! The ports of a sandbox's own network: which are open, and connections to them. Both happen in its first process,
//! which alone of ours is in that network.

use std::os::fd::{FromRawFd as _, OwnedFd};

const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// Connects to a port of the loopback on which somebody listens, by the version of IP that they listen on. The
/// connection may still be on its way. Answers the errno otherwise.
pub fn dial(port: u16) -> Result<OwnedFd, i32> {
    let listens = |table: &str| read(&std::fs::read_to_string(table).unwrap_or_default()).contains(&port);
    match TABLES.map(listens) {
        [true, _] => dial_v4(port),
        [false, true] => dial_v6(port),
        [false, false] => Err(libc::ECONNREFUSED),
    }
}

fn dial_v4(port: u16) -> Result<OwnedFd, i32> {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    // SAFETY: the address lives through the call and has that length.
    connect(libc::AF_INET, |socket| unsafe {
        libc::connect(socket, (&raw const address).cast(), size_of_val(&address) as libc::socklen_t)
    })
}

fn dial_v6(port: u16) -> Result<OwnedFd, i32> {
    let mut loopback = [0u8; 16];
    loopback[15] = 1;
    let address = libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: port.to_be(),
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: loopback },
        sin6_scope_id: 0,
    };
    // SAFETY: the address lives through the call and has that length.
    connect(libc::AF_INET6, |socket| unsafe {
        libc::connect(socket, (&raw const address).cast(), size_of_val(&address) as libc::socklen_t)
    })
}

fn connect(family: i32, connect: impl FnOnce(i32) -> i32) -> Result<OwnedFd, i32> {
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call touches no memory.
    let socket = unsafe { libc::socket(family, kind, 0) };
    if socket < 0 {
        return Err(errno());
    }
    // SAFETY: the descriptor was just opened and nobody else has it.
    let owned = unsafe { OwnedFd::from_raw_fd(socket) };
    match connect(socket) {
        0 => Ok(owned),
        _ if errno() == libc::EINPROGRESS => Ok(owned),
        _ => Err(errno()),
    }
}

/// The most ports that are told.
const MAX_PORTS: usize = 200;

/// The TCP ports on which somebody in this network listens, in order.
pub fn listening() -> Vec<u16> {
    let mut ports: Vec<u16> =
        TABLES.iter().flat_map(|table| read(&std::fs::read_to_string(table).unwrap_or_default())).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.truncate(MAX_PORTS);
    ports
}

/// Reads the kernel's table of sockets (Documentation/networking/proc_net_tcp.rst): the second field is the local
/// address, the fourth the state, 0A where it listens.
fn read(table: &str) -> Vec<u16> {
    let port = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?;
        let state = fields.nth(1)?;
        (state == "0A").then(|| u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()).flatten()
    };
    table.lines().skip(1).filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_ports_are_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 20 4 30 10 -1\n";
        assert_eq!(read(table), [8080]);
        assert!(read("").is_empty() && read("header\nbroken line\n").is_empty());
    }

    #[test]
    fn an_own_port_is_seen_and_reached_and_a_closed_one_refused() {
        let open = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = open.local_addr().expect("its address").port();
        assert!(listening().contains(&port));
        assert!(dial(port).is_ok());
        drop(open);
        assert_eq!(dial(port).err(), Some(libc::ECONNREFUSED));
    }
}
