use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use super::Args;
use crate::report;

/// The files that the proxies of this process have written or are writing: none is written by two.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    taken: BTreeSet<PathBuf>,
}

impl Outputs {
    /// Takes the files of a proxy. Where one of them was another's before, or its own with earlier settings, `r.json` becomes
    /// `r.2.json` and so on, so that nothing is lost.
    pub(super) fn claim(&mut self, args: &mut Args) {
        let reports = args.judging.report.iter_mut().filter_map(|target| match target {
            report::Target::Stdout => None,
            report::Target::File { path, .. } => Some(path),
        });
        for path in reports.chain(args.recording.file_mut()) {
            let wanted = path.clone();
            for count in 2_u32.. {
                if self.taken.insert(identity(path)) {
                    break;
                }
                *path = numbered(&wanted, count);
            }
            if *path != wanted {
                tracing::warn!("{} has been written to already: {} is written", wanted.display(), path.display());
            }
        }
    }
}

/// What a proxy writes, each by a name that is the same however the path is spelt; `-` is stdout.
pub(super) fn written(args: &Args) -> impl Iterator<Item = PathBuf> {
    let reports = args.judging.report.iter().map(|target| match target {
        report::Target::Stdout => PathBuf::from("-"),
        report::Target::File { path, .. } => identity(path),
    });
    reports.chain(args.recording.file().map(|path| identity(path)))
}

fn identity(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    match (fs::canonicalize(parent), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// `r.json` and 2: `r.2.json`.
fn numbered(path: &Path, count: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}.{count}{extension}"))
}
