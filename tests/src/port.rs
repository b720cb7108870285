//! Ports that are ours for as long as a test wants them.

use std::net::{TcpListener, UdpSocket};

use crate::random;

/// Below every system's range for connections on their way out, so that none of those takes one of ours
/// while a Worker is down between a kill and its next start.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;
const TRIES: u32 = 1000;

/// A number of a TCP port on 127.0.0.1 that no other test has: whoever wants one binds the UDP port of
/// the same number, which nobody else is after, and keeps it. So a test of another process keeps away
/// too, and a process that dies gives its numbers back.
pub struct Port {
    number: u16,
    _reserved: UdpSocket,
}

impl Port {
    /// One on which nothing listens.
    pub fn reserve() -> Self {
        for _ in 0..TRIES {
            let number = FIRST + u16::try_from(random() % u64::from(COUNT)).expect("below COUNT");
            let Ok(reserved) = UdpSocket::bind(("127.0.0.1", number)) else { continue };
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _reserved: reserved };
            }
        }
        panic!("no free port from {FIRST} on");
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_have_the_same() {
        let ports: Vec<_> = (0..500).map(|_| Port::reserve()).collect();
        let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ports.len());
    }
}
