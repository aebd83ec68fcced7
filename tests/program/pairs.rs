//! What holds of a connection through the proxy, whatever its edges are: plain, or with TLS.

use std::io;

use crate::support::{fill, random_bytes, read_out, receive, send};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// Law L4: a FIN crosses, the other direction goes on, `back` bytes of it, then its FIN crosses.
pub(super) async fn half_close<S: AsyncRead + AsyncWrite + Unpin>((mut first, mut second): (S, S), back: u64) {
    first.write_all(b"the last").await.expect("written");
    first.shutdown().await.expect("a FIN");
    assert_eq!(read_out(&mut second).await, (b"the last".to_vec(), None));
    let pattern = random_bytes(5);
    let (sent, ()) = tokio::join!(send_out(&mut second, &pattern, back, 6), receive(&mut first, &pattern, back, 7));
    sent.expect("the other direction goes on");
    second.shutdown().await.expect("a FIN");
    assert_eq!(read_out(&mut first).await, (Vec::new(), None));
}

/// Laws L2 and L4: a reader that stops stops its own direction only, what waits for it is bounded (`most` bytes), and it goes
/// on where it stopped; meanwhile `back` bytes cross the other way.
pub(super) async fn stalled_reader<S: AsyncRead + AsyncWrite + Unpin>(
    (mut stalled, mut writer): (S, S),
    most: u64,
    back: u64,
) {
    let taken = fill(&mut writer, most).await;
    let pattern = random_bytes(8);
    let (sent, ()) = tokio::join!(send_out(&mut stalled, &pattern, back, 9), receive(&mut writer, &pattern, back, 10));
    sent.expect("the other direction goes on");
    // A writer with TLS may have to write before it can close.
    let (closed, ()) = tokio::join!(writer.shutdown(), receive(&mut stalled, &[0x55; 4096], taken, 11));
    closed.expect("a FIN");
    assert_eq!(read_out(&mut stalled).await, (Vec::new(), None));
}

/// A buffered writer keeps the last of it.
async fn send_out<W: AsyncWrite + Unpin>(to: &mut W, pattern: &[u8], total: u64, seed: u64) -> io::Result<()> {
    send(to, pattern, total, seed).await?;
    to.flush().await
}
