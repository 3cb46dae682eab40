//! The Cassandra of the tests is a real one, and can be treated badly.
#![allow(clippy::unwrap_used, reason = "a test")]

use ovomesh_testkit::Cassandra;

#[test]
fn a_node_is_killed_and_comes_back_on_its_address() {
    let mut cassandra = Cassandra::start(1).unwrap();
    let (first, place) = (cassandra.pid(1).unwrap(), cassandra.contact_points());
    cassandra.kill(1).unwrap();
    assert_eq!(cassandra.pid(1), None);
    assert!(std::net::TcpStream::connect(&place).is_err(), "nobody answers at {place}");
    cassandra.restart(1).unwrap();
    assert_ne!(cassandra.pid(1), Some(first));
    assert_eq!(cassandra.contact_points(), place);
    let folder = cassandra.folder().to_owned();
    assert!(folder.join("node1/commitlog").is_dir());
    drop(cassandra);
    assert!(!folder.exists(), "nothing is left of it");
}
