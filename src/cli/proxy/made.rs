use std::time::Duration;

use crate::cli::acting::How;
use crate::cli::judging::By;
use crate::cli::sockets::SocketFlags;
use crate::net::Judged;
use crate::net::Limits;
use crate::net::proxy::Options;

/// What the proxies that are made over HTTP are like, whatever they are asked to do there.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Made {
    pub(in crate::cli) sockets: SocketFlags,
    pub(in crate::cli) how: How,
    pub(in crate::cli) by: By,
    pub(in crate::cli) drain: Duration,
}

impl Made {
    /// For one more of them.
    pub(super) fn options_and_judged(&self) -> (Options, Judged) {
        let plan = self.how.plan(&self.by, &[]);
        let options = Options {
            connect_timeout: self.sockets.connect_timeout,
            sockets: self.sockets.sockets(),
            drain: self.drain,
            limits: Limits::settling(plan.settle),
            ..Options::default()
        };
        (options, Judged::new(plan, self.by.judge(&[])))
    }
}
