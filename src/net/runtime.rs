use std::future::Future;
use std::io;

/// Runs a future on a runtime of its own, to its end; tasks that it leaves behind are dropped.
///
/// # Errors
/// The system gives no threads or no event queue.
pub fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(future);
    // A name that is being looked up in a thread of its own keeps nobody waiting.
    runtime.shutdown_background();
    Ok(outcome)
}
