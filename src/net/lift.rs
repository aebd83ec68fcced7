//! Bytes that nobody looks at go from socket to socket through a pipe, by splice(2): they are not copied.

#[cfg(target_os = "linux")]
pub(super) use linux::Pipe;
#[cfg(not(target_os = "linux"))]
pub(super) use none::Pipe;

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::RefCell;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
    use nix::unistd::pipe2;
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    /// The pipes of the process at the most: each takes two descriptors, of those beside the connections'. Whoever finds none
    /// copies.
    const MOST: usize = 16;
    /// Empty pipes that a thread keeps.
    const KEPT: usize = 2;
    /// What a pipe is to have room for, where that is allowed: it has a place for each page, however little is in it.
    const ROOM: i32 = 1 << 20;

    static PIPES: AtomicUsize = AtomicUsize::new(0);

    thread_local! {
        static FREE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    }

    /// A pipe, and what is in it.
    #[derive(Debug)]
    pub(in crate::net) struct Pipe {
        ends: Option<(OwnedFd, OwnedFd)>,
        len: usize,
    }

    impl Pipe {
        /// An empty one, unless there are too many, or the system gives none.
        pub(in crate::net) fn take() -> Option<Self> {
            FREE.with_borrow_mut(Vec::pop).or_else(Self::new)
        }

        fn new() -> Option<Self> {
            if PIPES.fetch_add(1, Ordering::Relaxed) >= MOST {
                PIPES.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            let mut pipe = Self { ends: None, len: 0 };
            let (reader, writer) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).ok()?;
            // It stays as it is where a user's pipes may have no more room.
            fcntl(&writer, FcntlArg::F_SETPIPE_SZ(ROOM)).ok();
            pipe.ends = Some((reader, writer));
            Some(pipe)
        }

        /// Others may have it, if it is empty.
        pub(in crate::net) fn give_back(self) {
            if self.len > 0 {
                return;
            }
            FREE.with_borrow_mut(|free| {
                if free.len() < KEPT {
                    free.push(self);
                }
            });
        }

        /// The bytes in it.
        pub(in crate::net) const fn len(&self) -> usize {
            self.len
        }

        /// Moves up to `len` bytes from a socket into it: 0 are the end of what comes. It was empty: else it would not be known
        /// whether nothing came or nothing fits.
        pub(in crate::net) fn fill(&mut self, from: &TcpStream, len: usize) -> io::Result<usize> {
            let (_, writer) = self.ends()?;
            let moved = from.try_io(Interest::READABLE, || Ok(splice(from, None, writer, None, len, flags())?))?;
            self.len += moved;
            Ok(moved)
        }

        /// Moves what is in it, or as much as fits, to a socket.
        pub(in crate::net) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
            let (reader, _) = self.ends()?;
            let moved = to.try_io(Interest::WRITABLE, || Ok(splice(reader, None, to, None, self.len, flags())?))?;
            self.len -= moved;
            Ok(moved)
        }

        fn ends(&self) -> io::Result<&(OwnedFd, OwnedFd)> {
            self.ends.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
        }
    }

    impl Drop for Pipe {
        fn drop(&mut self) {
            PIPES.fetch_sub(1, Ordering::Relaxed);
        }
    }

    const fn flags() -> SpliceFFlags {
        SpliceFFlags::SPLICE_F_NONBLOCK.union(SpliceFFlags::SPLICE_F_MOVE)
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use std::io;

    use tokio::net::TcpStream;

    /// There is none: everything is copied.
    #[derive(Debug)]
    pub(in crate::net) enum Pipe {}

    impl Pipe {
        pub(in crate::net) const fn take() -> Option<Self> {
            None
        }

        pub(in crate::net) const fn give_back(self) {
            match self {}
        }

        pub(in crate::net) const fn len(&self) -> usize {
            match *self {}
        }

        pub(in crate::net) fn fill(&mut self, _: &TcpStream, _: usize) -> io::Result<usize> {
            match *self {}
        }

        pub(in crate::net) fn drain(&mut self, _: &TcpStream) -> io::Result<usize> {
            match *self {}
        }
    }
}

/// Whether it is worth it, in one direction: where long values come one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lift {
    /// Reads, one after the other, that have left much of a value to come.
    long: u8,
}

impl Lift {
    /// What is moved at once: as much as is read at once.
    const AT_ONCE: usize = 256 * 1024;
    /// Where less is left of a value, it is read with what follows.
    const LEAST: u64 = 64 * 1024;
    const LONG_READS: u8 = 4;

    /// Something was read, and so many bytes that follow need not be.
    pub(super) const fn left(&mut self, skippable: u64) {
        self.long = if skippable >= Self::LEAST { self.long.saturating_add(1) } else { 0 };
    }

    /// How much to move, where so many bytes need not be read.
    pub(super) fn len(self, skippable: u64) -> Option<usize> {
        let is_worth_it = self.long >= Self::LONG_READS && skippable >= Self::LEAST;
        is_worth_it.then(|| usize::try_from(skippable).unwrap_or(usize::MAX).min(Self::AT_ONCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_long_values_come_one_after_the_other_they_are_moved() {
        let mut lift = Lift::default();
        for _ in 0..Lift::LONG_READS {
            assert_eq!(lift.len(1 << 20), None);
            lift.left(1 << 20);
        }
        assert_eq!(lift.len(1 << 20), Some(Lift::AT_ONCE));
        assert_eq!((lift.len(Lift::LEAST), lift.len(Lift::LEAST - 1)), (Some(64 * 1024), None));
        lift.left(0);
        assert_eq!(lift.len(1 << 20), None);
    }
}
