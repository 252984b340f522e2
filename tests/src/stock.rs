//! The two ways in which plugins come to a process, so that one test can be run by both.

use skymesh_agent::{Agent, AgentBuilder};
use skymesh_plugin_host::PluginsConfig;

/// Where the plugins of a test's agents come from: the stock, and the fixture `unruly`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stock {
    /// The libraries that cargo has built beside the test.
    #[default]
    Loaded,
    /// This executable.
    Linked,
}

impl Stock {
    /// An agent whose plugins come that way.
    pub fn for_agent(self, builder: AgentBuilder) -> AgentBuilder {
        match self {
            Self::Loaded => builder,
            Self::Linked => {
                let plugins = PluginsConfig { linked_only: true, ..PluginsConfig::default() };
                let unruly = skymesh_fixture_unruly::skymesh_plugin();
                builder.linked(skymesh_stock::plugins()).linked([unruly]).plugins(plugins)
            }
        }
    }

    /// That what the agent uses came that way.
    ///
    /// # Panics
    /// If it did not.
    pub fn check(self, agent: &Agent) {
        let rows = agent.plugins();
        let of_files = rows.iter().filter(|row| row.path.is_some()).count();
        assert_eq!(of_files > 0, self == Self::Loaded && !rows.is_empty(), "{self:?}: {rows:?}");
    }
}

/// Makes two tests, `NAME::loaded` and `NAME::linked`, of each `async fn NAME(stock: Stock)`.
#[macro_export]
macro_rules! both_ways {
    ($($name:ident),* $(,)?) => {
        $(
            mod $name {
                #[tokio::test]
                async fn loaded() {
                    super::$name($crate::Stock::Loaded).await;
                }

                #[tokio::test]
                async fn linked() {
                    super::$name($crate::Stock::Linked).await;
                }
            }
        )*
    };
}
