use std::time::Duration;

use tokio::time::timeout;

use super::{Controlled, lock};
use crate::capture::write::{Ends, Tape};
use crate::net::{Clock, RecordError, Recorder, RecorderOptions, Run, Tapped};
use crate::report;

/// How long a connection has to take note of a recording that begins or ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// A recording that was switched on while the proxy serves.
#[derive(Debug)]
pub struct Taping {
    recorder: Recorder,
    file: String,
}

/// Why no recording begins.
#[derive(Debug, thiserror::Error)]
pub enum TapingError {
    /// There is one.
    #[error("expected no recording under way, found that '{0}' is recorded to")]
    Busy(String),
    /// It cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Taping {
    fn tape(&self, id: u64, ends: Ends, run: &Run) -> Box<Tape> {
        Box::new(Tape::new(id, ends, run.to_string(), Clock::start().now(), self.recorder.queue()))
    }

    fn joining(&self, id: u64, ends: Ends, run: &Run) -> Box<Tape> {
        Box::new(Tape::joining(id, ends, run.to_string(), self.recorder.queue()))
    }
}

impl Controlled {
    /// The file that is recorded to, if one is.
    pub fn recorded_to(&self) -> Option<String> {
        lock(&self.taping).as_ref().map(|taping| taping.file.clone()).or_else(|| self.setup().recorded_to)
    }

    /// Records all connections from now on: those to come, and those that are open from their next frames on. `file` is
    /// what the recording is called.
    ///
    /// # Errors
    /// There is one under way, or its file cannot be written.
    pub async fn record(&self, file: &str, options: RecorderOptions) -> Result<(), TapingError> {
        if let Some(file) = self.recorded_to() {
            return Err(TapingError::Busy(file));
        }
        // Creating a file may wait for the disk.
        let started = tokio::task::spawn_blocking(move || Recorder::start(options)).await;
        let recorder = started.unwrap_or_else(|lost| std::panic::resume_unwind(lost.into_panic()))?;
        let losses = recorder.losses();
        let taping = Taping { recorder, file: file.to_owned() };
        {
            let mut place = lock(&self.taping);
            if let Some(taping) = &*place {
                return Err(TapingError::Busy(taping.file.clone()));
            }
            *place = Some(taping);
        }
        self.totals().recorded(losses);
        let run = self.run();
        let begin = self.connections().into_iter().map(|(id, open)| {
            let tape = lock(&self.taping).as_ref().map(|taping| taping.joining(id, open.ends, &run));
            async move {
                let Some(tape) = tape else { return };
                timeout(PATIENCE, open.handle.visit(|core: &mut Tapped, now| core.record(tape, now))).await.ok();
            }
        });
        futures_util::future::join_all(begin).await;
        Ok(())
    }

    /// Ends the recording, and tells what became of it; `None` where there is none.
    pub async fn stop_recording(&self) -> Option<report::Recording> {
        let taping = lock(&self.taping).take()?;
        let end = self.connections().into_values().map(|open| async move {
            let over = open.handle.visit(|core: &mut Tapped, _| core.over("the recording was switched off"));
            timeout(PATIENCE, over).await.ok();
        });
        futures_util::future::join_all(end).await;
        tokio::task::spawn_blocking(move || taping.recorder.finish()).await.ok()
    }

    /// A tape for a connection that begins, where a recording is switched on.
    pub(in crate::net) fn tape(&self, id: u64, ends: Ends, run: impl FnOnce() -> Run) -> Option<Box<Tape>> {
        lock(&self.taping).as_ref().map(|taping| taping.tape(id, ends, &run()))
    }

    /// The recording that was switched on, for whoever ends with the proxy.
    pub(in crate::net) fn take_recorder(&self) -> Option<Recorder> {
        lock(&self.taping).take().map(|taping| taping.recorder)
    }

    /// What a recording says of how its connections are judged.
    fn run(&self) -> Run {
        let setup = self.setup();
        Run {
            seed: setup.plan.seed,
            scenarios: setup.plan.scenarios.iter().map(|scenario| scenario.name.clone()).collect(),
            terms: setup.plan.terms(setup.judge),
        }
    }
}
