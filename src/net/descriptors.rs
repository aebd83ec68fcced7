/// Descriptors that are needed beside those of connections: listeners, reports, recordings, the system's own.
const BESIDE: u64 = 64;
/// Both ends of a connection.
const OF_A_CONNECTION: u64 = 2;

/// Lets the process have as many file descriptors as the system allows it at all, and says how many these are, if it tells.
pub fn raise_descriptors() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Some(hard),
        Err(error) => {
            tracing::debug!(%error, "the limit of file descriptors stays as it is");
            Some(soft)
        }
    }
}

/// What is wrong where so many connections are to be allowed with so many descriptors, if anything is.
pub fn too_few_descriptors(connections: u64, descriptors: u64) -> Option<String> {
    let needed = connections.saturating_mul(OF_A_CONNECTION).saturating_add(BESIDE);
    (needed > descriptors).then(|| {
        format!(
            "{connections} connections (--max-connections) need about {needed} file descriptors, found a limit of \
             {descriptors}: raise it (ulimit -n, or LimitNOFILE= of the unit)"
        )
    })
}

/// What there is to do about an error, where it is that there are no descriptors left.
pub(super) fn advice(error: &std::io::Error) -> &'static str {
    let is_that = error.raw_os_error() == Some(nix::errno::Errno::EMFILE as i32);
    if is_that { ": raise the limit of file descriptors (ulimit -n, or LimitNOFILE= of the unit)" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_descriptors_are_wanting_it_is_said_how_to_get_more() {
        let too_many = std::io::Error::from(nix::errno::Errno::EMFILE);
        assert!(advice(&too_many).contains("ulimit -n"));
        assert_eq!(advice(&std::io::ErrorKind::ConnectionAborted.into()), "");
    }

    #[test]
    fn a_connection_takes_two_descriptors_and_the_process_some() {
        assert_eq!(too_few_descriptors(480, 1024), None);
        assert!(too_few_descriptors(481, 1024).is_some_and(|told| told.contains("1026") && told.contains("1024")));
        assert!(too_few_descriptors(u64::MAX, u64::MAX - 1).is_some());
    }
}
