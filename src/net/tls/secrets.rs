use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::{KeyLog, NoKeyLog};

use super::SetUpError;
use crate::net::SecretsTape;

/// Where the secrets of TLS connections go, for whoever captures their bytes: the file that SSLKEYLOGFILE names, a recording,
/// both or, as a rule, nowhere.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    file: Option<Arc<KeyLogFile>>,
    tape: Option<SecretsTape>,
}

#[derive(Debug)]
struct KeyLogFile {
    path: PathBuf,
    file: Mutex<Option<std::fs::File>>,
}

impl Secrets {
    /// Into the file that SSLKEYLOGFILE names, if it does.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn from_environment() -> Result<Self, SetUpError> {
        let Some(path) = env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty()).map(PathBuf::from) else {
            return Ok(Self::default());
        };
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(|error| SetUpError::NoKeyLog { path: path.clone(), error })?;
        tracing::warn!("SSLKEYLOGFILE: the secrets of all TLS connections are written to {}", path.display());
        Ok(Self { file: Some(Arc::new(KeyLogFile { path, file: Mutex::new(Some(file)) })), tape: None })
    }

    /// Into a recording too.
    #[must_use]
    pub fn recorded(self, tape: Option<SecretsTape>) -> Self {
        Self { tape, ..self }
    }

    pub(super) fn key_log(&self) -> Arc<dyn KeyLog> {
        if self.file.is_none() && self.tape.is_none() { Arc::new(NoKeyLog) } else { Arc::new(self.clone()) }
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex::encode(client_random), hex::encode(secret));
        if let Some(file) = &self.file {
            file.write(&line);
        }
        if let Some(tape) = &self.tape {
            tape.put(line);
        }
    }
}

impl KeyLogFile {
    /// One write, so that the lines of several programs do not mix. The first that fails is told of, and is the last.
    fn write(&self, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = file.as_mut()
            && let Err(error) = open.write_all(line.as_bytes())
        {
            tracing::warn!("cannot write the secrets of TLS to {}: {error}", self.path.display());
            *file = None;
        }
    }
}
