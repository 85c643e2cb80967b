//! A missing ACL: principal, operation, resource, and a command that, given, grants it.

use lockstep_testkit::Exit;
use lockstep_testkit::secured::LIMITED;

use super::{Scene, Way, password};

#[test]
fn the_command_in_the_message_grants_what_is_missing() {
    let scene = Scene::new("rights", |realm| (Way::plain(), password(realm, "SCRAM-SHA-512", LIMITED)));
    scene.write(30);
    let finished = scene.mirror_all(&[]);
    let said = &finished.stderr;
    assert_eq!(finished.exit, Exit::Code(1), "{finished:?}");
    assert!(said.contains("error[L-103]: ") && said.contains("page    docs/errors/L-103.md"), "{said}");
    let needs = said.lines().find_map(|line| line.trim().strip_prefix("needs   ")).unwrap();
    let grant = said.lines().find_map(|line| line.trim().strip_prefix("grant   ")).unwrap();
    assert!(needs.ends_with(&format!("for User:{}", LIMITED.0)), "{needs}");
    let options: Vec<_> = grant.split(' ').skip(3).map(|word| word.trim_matches('\'')).collect();
    assert_eq!(options[0], "--add", "{grant}");
    scene.pair.destination.acls(&options).unwrap();
    // What is missing next is something else.
    let again = scene.mirror_all(&[]);
    assert!(!again.stderr.contains(needs), "{needs} was granted: {}", again.stderr);
}
