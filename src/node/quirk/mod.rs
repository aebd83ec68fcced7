use std::fmt;
use std::str::FromStr;

use crate::wire::UnknownName;

mod table;

pub use table::Quirk;

/// Which role of the node a quirk belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// It sends mutations.
    Producer,
    /// It receives mutations.
    Consumer,
}

/// What there is to know of a quirk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct About {
    /// In which role the node has it.
    pub role: Role,
    /// What the node does.
    pub does: &'static str,
    /// Where it comes from.
    pub history: &'static str,
    /// What must be so before it shows.
    pub needs: &'static str,
    /// The scenario that provokes it.
    pub scenario: &'static str,
    /// The id of the finding that catches it.
    pub finding: &'static str,
}

/// Makes [`Quirk`] of the entries in `table.rs`.
macro_rules! quirks {
    (
        producer { $($producer:ident = $producer_name:literal $producer_about:tt)* }
        consumer { $($consumer:ident = $consumer_name:literal $consumer_about:tt)* }
    ) => {
        $crate::node::quirk::quirks! { @define
            $(Producer $producer = $producer_name $producer_about)*
            $(Consumer $consumer = $consumer_name $consumer_about)*
        }
    };
    (@define $($role:ident $quirk:ident = $name:literal {
        does: $does:literal,
        history: $history:literal,
        needs: $needs:literal,
        scenario: $scenario:literal,
        finding: $finding:literal,
    })*) => {
        /// A named historical bug that the embedded node can be told to have.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Quirk {
            $(#[doc = concat!("The node ", $does, ".")] $quirk,)*
        }

        impl Quirk {
            /// Every quirk: the producer's, then the consumer's.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$quirk),*];

            /// All their names.
            pub(super) const EXPECTED: &'static str = concat!("a quirk:" $(, " ", $name)*);

            /// As `--quirk` takes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$quirk => $name,)*
                }
            }

            /// What it does, its history, what it needs and what catches it.
            pub const fn about(self) -> $crate::node::About {
                match self {
                    $(Self::$quirk => $crate::node::About {
                        role: $crate::node::Role::$role,
                        does: $does,
                        history: $history,
                        needs: $needs,
                        scenario: $scenario,
                        finding: $finding,
                    },)*
                }
            }
        }
    };
}
use quirks;

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Quirk {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|quirk| quirk.name() == text)
            .ok_or_else(|| UnknownName { expected: Self::EXPECTED, found: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_go_both_ways_and_the_message_lists_them_all() {
        let error = "nonsense".parse::<Quirk>().unwrap_err().to_string();
        let names: BTreeSet<_> = Quirk::ALL.iter().map(|quirk| quirk.name()).collect();
        assert_eq!(names.len(), Quirk::ALL.len());
        for quirk in Quirk::ALL {
            assert_eq!(quirk.to_string().parse(), Ok(quirk));
            assert!(error.contains(quirk.name()), "{error}");
        }
    }

    /// A quirk with a bug's number has it in its history.
    #[test]
    fn the_number_of_a_bug_is_in_its_history() {
        for quirk in Quirk::ALL {
            if let Some(number) = quirk.name().strip_prefix("mb-") {
                assert!(quirk.about().history.contains(&format!("MB-{number}")), "{quirk}");
            }
        }
    }
}
