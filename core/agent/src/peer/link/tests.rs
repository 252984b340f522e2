//! What is counted on a link: lanes come and go, and what was sent on them stays open until it is settled.

use skymesh_transport::OutboxConfig;

use super::*;

#[test]
fn a_lane_is_forgotten_once_nobody_sends_on_it_and_what_is_open_stays_counted() {
    let (outbox, _writer) = Outbox::new(OutboxConfig::default());
    let link = Link::new(outbox, Dialect::V2, 65_536, LinkCodecs::default());
    for number in 1..=1000 {
        let destination = Handle::new(number).unwrap();
        let lane = link.lane(destination);
        assert!(Arc::ptr_eq(&lane, &link.lane(destination)));
        lane.note_sent(100);
        link.forget_lane(&lane);
        assert_eq!(link.lanes().by_handle.len(), 0);
        // Not anybody's any more: a new one is not ended by it.
        let again = link.lane(destination);
        link.forget_lane(&lane);
        assert_eq!(link.lanes().by_handle.len(), 1);
        link.forget_lane(&again);
    }
    assert!(!link.is_settled());
    for number in 1..=1000 {
        link.settle(Handle::new(number).unwrap(), 164, 1);
    }
    assert!(link.is_settled());
    assert_eq!(link.end(), 0);
}
