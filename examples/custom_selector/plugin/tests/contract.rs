//! The plugin keeps the contract of its kind, and picks what it promises.

use emptiest_room::EmptiestRoom;
use skymesh_plugin_api::{Member, PluginError, Request, Roster, Selector, serde_json};

const CONFIG: &str = r#"{"attribute": "players"}"#;

#[test]
fn keeps_the_contract() {
    skymesh_plugin_api::conformance::selector_with::<EmptiestRoom>(CONFIG);
}

/// Players, as the attribute's JSON text, and whether the room is suspect.
type Rooms = &'static [(&'static str, bool)];

#[test]
fn picks_the_room_with_the_fewest_players() -> Result<(), PluginError> {
    let selector = EmptiestRoom::new(serde_json::from_str(CONFIG).unwrap())?;
    let request = Request::new(None, 0, 0, 0);
    let cases: [(Rooms, Option<usize>); 5] = [
        (&[("5", false), ("1", false), ("3", false)], Some(1)),
        (&[("2", false), ("2", false)], Some(0)),
        (&[("2", false), ("0", true)], Some(0)),
        (&[("2", false), ("\"many\"", false)], Some(1)),
        (&[], None),
    ];
    for (rooms, expected) in cases {
        let room = |(id, (players, suspect)): (u64, &(&str, bool))| Member {
            attributes: format!(r#"{{"players": {players}}}"#).into(),
            suspect: *suspect,
            ..Member::new(id)
        };
        let roster = Roster::new((1..).zip(rooms).map(room).collect());
        let table = selector.prepare(roster.view());
        assert_eq!(selector.pick(roster.view(), &table, &request), expected, "{rooms:?}");
    }
    Ok(())
}
