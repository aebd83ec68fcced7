use std::net::IpAddr;
use std::path::PathBuf;

use super::values;
use crate::capture::write::{About, MIN_SNAPLEN, Redaction};
use crate::net::{Destination, Recorder, RecorderLimits, RecorderOptions, SecretsTape};

use crate::units;

/// The flags of a command that records.
#[derive(clap::Args, Debug)]
pub(super) struct Recording {
    /// Record both edges of each connection as pcapng. It holds documents, unless --redact says otherwise
    #[arg(long, value_name = "FILE", env = "DCPROXY_RECORD", value_parser = values::new_file)]
    record: Option<PathBuf>,

    /// Begin another file at this size, such as 100MB: FILE.pcapng becomes FILE_00001.pcapng and so on
    #[arg(long, value_name = "SIZE", env = "DCPROXY_RECORD_ROTATE", value_parser = units::size, requires = "record")]
    record_rotate: Option<u64>,

    /// Keep this much of each recorded packet, in bytes; check takes what is cut for missing
    #[arg(
        long,
        value_name = "N",
        env = "DCPROXY_SNAPLEN",
        value_parser = clap::value_parser!(u32).range(i64::from(MIN_SNAPLEN)..=262_144),
        requires = "record"
    )]
    snaplen: Option<u32>,

    /// Blank document keys, values or both in the recording, with lengths kept: keys,values
    #[arg(long, value_name = "LIST", env = "DCPROXY_REDACT", requires = "record")]
    redact: Option<Redaction>,

    /// Record the secrets of the TLS connections too: whoever captures those on the wire can read them with it
    #[arg(long, env = "DCPROXY_RECORD_SECRETS", requires = "record")]
    record_secrets: bool,
}

impl Recording {
    /// The file that is written, if one is.
    pub(super) const fn file(&self) -> Option<&PathBuf> {
        self.record.as_ref()
    }

    /// The same, so that it can be another one.
    pub(super) const fn file_mut(&mut self) -> Option<&mut PathBuf> {
        self.record.as_mut()
    }

    /// Begins to record, if that is asked for, and says what the recording holds (law L9).
    pub(super) fn start(&self, upstream: &Destination) -> anyhow::Result<Option<Recorder>> {
        let Some(path) = &self.record else { return Ok(None) };
        let redaction = self.redact.unwrap_or_default();
        let holds = format!(
            "{}{}",
            redaction.holds(),
            if self.record_secrets { ", and the secrets of TLS connections" } else { "" }
        );
        let about = About {
            comment: About::comment_of(upstream, &holds),
            upstream_name: named(upstream),
            snaplen: self.snaplen,
            redaction,
        };
        let options = RecorderOptions {
            path: path.clone(),
            rotate: self.record_rotate,
            fresh: false,
            about,
            limits: RecorderLimits::default(),
        };
        let recorder = Recorder::start(options)?;
        tracing::warn!("recording to {}: it holds {holds}; SASL payloads are zeroed", path.display());
        Ok(Some(recorder))
    }

    /// Where the secrets of TLS connections are recorded, if they are to be.
    pub(super) fn secrets(&self, recorder: &Recorder) -> Option<SecretsTape> {
        self.record_secrets.then(|| recorder.secrets())
    }
}

/// The name that all connections go to, if there is one.
fn named(upstream: &Destination) -> Option<String> {
    match upstream {
        Destination::Fixed(upstream) => {
            let host = &upstream.target.host;
            host.parse::<IpAddr>().is_err().then(|| host.clone())
        }
        Destination::Original { .. } => None,
    }
}
