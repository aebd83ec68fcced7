//! How much of what was written to a socket has not been acknowledged by the other end.

use tokio::net::TcpStream;

/// The bytes written to the socket that the other end has not acknowledged, if the system tells.
#[cfg(not(target_os = "linux"))]
pub(super) fn unacknowledged(_stream: &TcpStream) -> Option<u32> {
    None
}

/// The bytes written to the socket that the other end has not acknowledged, if the system tells: asked of the kernel by
/// `sock_diag(7)`, which, unlike SIOCOUTQ, needs no unsafe code.
#[cfg(target_os = "linux")]
pub(super) fn unacknowledged(stream: &TcpStream) -> Option<u32> {
    use std::io::Read;
    use std::time::Duration;

    use socket2::{Domain, Protocol, Socket, Type};

    const AF_NETLINK: i32 = 16;
    const NETLINK_SOCK_DIAG: i32 = 4;

    let request = linux::request(stream.local_addr().ok()?, stream.peer_addr().ok()?)?;
    let mut kernel =
        Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(Protocol::from(NETLINK_SOCK_DIAG))).ok()?;
    // The kernel answers before `send` returns; the limit is for a kernel that does not answer at all.
    kernel.set_read_timeout(Some(Duration::from_millis(10))).ok()?;
    kernel.send(&request).ok()?;
    let mut answer = [0; 1024];
    let len = kernel.read(&mut answer).ok()?;
    linux::write_queue(answer.get(..len)?)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::SocketAddr;

    const NETLINK_HEADER_LEN: usize = 16;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const IPPROTO_TCP: u8 = 6;
    /// Of `idiag_wqueue` in the `inet_diag_msg` that follows the netlink header.
    const WRITE_QUEUE_OFFSET: usize = NETLINK_HEADER_LEN + 60;

    /// An `inet_diag_req_v2` for exactly one socket, or `None` if the ends are not of one family.
    pub(super) fn request(local: SocketAddr, peer: SocketAddr) -> Option<Vec<u8>> {
        let family = match (local, peer) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => AF_INET,
            (SocketAddr::V6(_), SocketAddr::V6(_)) => AF_INET6,
            (SocketAddr::V4(_), SocketAddr::V6(_)) | (SocketAddr::V6(_), SocketAddr::V4(_)) => return None,
        };
        let mut request = Vec::with_capacity(72);
        request.extend(72_u32.to_ne_bytes());
        request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        request.extend(NLM_F_REQUEST.to_ne_bytes());
        request.extend([0; 8]); // sequence, port id
        request.extend([family, IPPROTO_TCP, 0, 0]);
        request.extend(u32::MAX.to_ne_bytes()); // every state
        request.extend(local.port().to_be_bytes());
        request.extend(peer.port().to_be_bytes());
        request.extend(address(local));
        request.extend(address(peer));
        request.extend([0; 4]); // any interface
        request.extend([0xff; 8]); // no cookie
        Some(request)
    }

    fn address(of: SocketAddr) -> [u8; 16] {
        match of {
            SocketAddr::V6(v6) => v6.ip().octets(),
            SocketAddr::V4(v4) => {
                let [a, b, c, d] = v4.ip().octets();
                [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            }
        }
    }

    /// `idiag_wqueue` of the answer, unless it is an error.
    pub(super) fn write_queue(answer: &[u8]) -> Option<u32> {
        let kind = answer.get(4..)?.first_chunk().copied().map(u16::from_ne_bytes)?;
        let queue = answer.get(WRITE_QUEUE_OFFSET..)?.first_chunk().copied().map(u32::from_ne_bytes)?;
        (kind == SOCK_DIAG_BY_FAMILY).then_some(queue)
    }
}
