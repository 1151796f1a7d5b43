//! Which sockets of ip(7) and ipv6(7) cannot be kept.

use super::super::unsupported;
use super::closing::Fins;
use super::{CLOSE, LISTEN, SYN_SENT};
use crate::error::{Blame, Error, Result};
use crate::options::DumpOptions;

/// What can be kept of a family at all.
///
/// # Errors
/// `E-FILE-UNSUPPORTED` for a protocol that is not known here.
pub fn protocol(kind: i32, protocol: i32) -> Result<()> {
    match (kind, protocol) {
        (libc::SOCK_STREAM, libc::IPPROTO_TCP | libc::IPPROTO_MPTCP)
        | (
            libc::SOCK_DGRAM,
            libc::IPPROTO_UDP | libc::IPPROTO_UDPLITE | libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6,
        )
        | (libc::SOCK_RAW, _) => Ok(()),
        (_, libc::IPPROTO_SCTP) => Err(unsupported("of SCTP")),
        _ => Err(unsupported(&format!("of type {kind} and protocol {protocol}"))),
    }
}

/// Of MPTCP, sockets without a connection: those that listen accept plain TCP, too, and what comes so is a socket of TCP.
///
/// # Errors
/// `E-FILE-UNSUPPORTED` for a connection, whose paths nothing can make again.
pub fn mptcp(state: u32, was_connected: bool) -> Result<()> {
    match state {
        CLOSE | LISTEN if !was_connected => Ok(()),
        _ => Err(unsupported("with a connection of MPTCP")
            .help("let the program do without (GODEBUG=multipathtcp=0 for one written in Go)")),
    }
}

/// A TCP socket in a state of include/net/tcp_states.h, with connections that nobody has accepted yet.
pub fn tcp(state: u32, pending: u32, options: &DumpOptions) -> Option<Error> {
    match state {
        LISTEN if pending > 0 && !options.skip_in_flight => {
            let reason = format!("listens, and {pending} connections wait to be accepted");
            let help =
                "let the program accept them, or add --skip-in-flight, and their clients see them reset";
            Some(Error::new("E-SOCKET-PENDING", Blame::Program, reason).help(help).passing())
        }
        CLOSE | LISTEN => None,
        _ if options.tcp_close => None,
        _ if is_known(state) && options.tcp_established => None,
        _ if is_known(state) => Some(
            Error::new("E-SOCKET-CONNECTED", Blame::Program, "is a TCP connection")
                .help("add --tcp-established here and at the restore to keep it, or --tcp-close to drop it"),
        ),
        // One that was accepted before its handshake is done (TCP_FASTOPEN).
        _ => {
            let reason = format!("is a TCP connection that is not there yet (state {state})");
            let help = "dump again, or add --tcp-close here and at the restore";
            Some(Error::new("E-SOCKET-CONNECTED", Blame::Program, reason).help(help).passing())
        }
    }
}

fn is_known(state: u32) -> bool {
    state == SYN_SENT || Fins::of(state).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::ESTABLISHED;
    use super::*;

    #[test]
    fn a_connection_that_is_being_made_is_one() {
        const SYN_RECV: u32 = 3;
        let closing = DumpOptions { tcp_close: true, ..DumpOptions::default() };
        let keeping = DumpOptions { tcp_established: true, ..DumpOptions::default() };
        let plain = DumpOptions::default();
        let code = |state, options| tcp(state, 0, options).map(|error| error.code());
        let connected = Some("E-SOCKET-CONNECTED");
        assert_eq!([SYN_SENT, SYN_RECV].map(|state| code(state, &keeping)), [None, connected]);
        assert_eq!(code(SYN_SENT, &plain), connected);
        assert_eq!(
            (code(SYN_SENT, &closing), code(ESTABLISHED, &keeping), code(CLOSE, &keeping)),
            (None, None, None)
        );
    }
}
