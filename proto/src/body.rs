//! Pairs every body with its cmd. Nothing else knows that pairing: a [`Msg`] made from a body can't
//! carry another body's cmd.

use crate::generated as messages;
use crate::generated::msg::Body;
use crate::generated::{Cmd, Msg};

macro_rules! bodies {
    ($($body:ident)+) => {
        impl Body {
            /// The cmd that announces this body on the wire.
            pub const fn cmd(&self) -> Cmd {
                match self {
                    $(Self::$body(_) => Cmd::$body,)+
                }
            }
        }

        $(
            impl From<messages::$body> for Body {
                fn from(body: messages::$body) -> Self {
                    Self::$body(body)
                }
            }

            impl From<messages::$body> for Msg {
                fn from(body: messages::$body) -> Self {
                    Body::$body(body).into()
                }
            }
        )+
    };
}

bodies! {
    RegisterApp RegisterAppReply RegisterService RegisterServiceReply ServicePresence
    UnregisterService Heartbeat SetAttributes AttributesChanged ElectionRequest ElectionResult
    KickOff AgentInfo RegisterRouter RouterUpdate RouterUpdateReply
    Message Ping Pong
    RegisterInstance RegisterInstanceReply UnregisterInstance ChangeAttributes RequestReply Watch
    Unwatch WatchSnapshot WatchDelta KeepAlive KeepAliveReply Goodbye KickOffInstance Refusal
    WatchRefused DrainInstance RunForLeader GiveUpLeader StandDown WatchLeader UnwatchLeader
    LeaderStanding PreparePlacement PlacementPrepared PlacementRoundEnded
    PeerWelcome Introduction Credit Refused Bounced
    ListServices ListServicesReply
    AdminHello AdminChallenge AdminRequest AdminReply
}

impl From<Body> for Msg {
    fn from(body: Body) -> Self {
        Self { cmd: body.cmd().into(), body: Some(body) }
    }
}
