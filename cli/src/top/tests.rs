//! The screen as cells: what is on it while all is well, while nobody answers, and how one moves.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::show::system::tests::{link, system};

fn picture(at: Instant) -> Picture {
    let mut picture = Picture::default();
    let links = ["bills", "claims", "quotes"].map(link).to_vec();
    picture.answered(SystemStatus { links, ..system() }, at);
    picture
}

fn screen(view: &mut View, picture: &Picture, now: Instant) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(140, 14)).unwrap();
    terminal.draw(|frame| draw(frame, view, picture, now)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..140).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..14).map(row).collect()
}

#[test]
fn links_alarms_and_keys_are_on_the_screen() {
    let now = Instant::now();
    let lines = screen(&mut View::default(), &picture(now), now);
    assert_eq!(lines[0], "revision 41; 2 clusters, 3 agents, 2 coordinators: c2 leads");
    assert!(lines[2].starts_with("LINK    DIRECTION"), "{lines:#?}");
    assert!(lines[4].starts_with("claims  core-mi ▶ core-pr  UNPROTECTED"), "{lines:#?}");
    assert!(lines[9].starts_with("! agent a-pr (praha): silent for 1 m 3 s"), "{lines:#?}");
    assert_eq!(lines[13], "arrows choose   enter details   q leave");
}

#[test]
fn what_was_seen_stays_and_grows_old_while_nobody_answers() {
    let then = Instant::now();
    let mut seen = picture(then);
    let now = then + Duration::from_secs(41);
    seen.failed("no coordinator answers for all of them\n  127.0.0.1:9470: nobody listens there".to_owned());
    let lines = screen(&mut View::default(), &seen, now);
    assert_eq!(lines[1], "seen 41 s ago; no coordinator answers for all of them");
    assert!(lines.iter().any(|line| line.starts_with("claims") && line.contains("UNKNOWN")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("a-mi (milano): silent for 41 s")), "{lines:#?}");
    seen.answered(system(), now);
    assert_eq!(screen(&mut View::default(), &seen, now)[1], "");
    let mut nobody = Picture::default();
    assert_eq!(screen(&mut View::default(), &nobody, now)[0], "asking the coordinators");
    nobody.failed("no coordinator answers".to_owned());
    assert_eq!(screen(&mut View::default(), &nobody, now)[0], "no coordinator answers");
}

#[test]
fn one_moves_through_the_list_into_a_link_and_out_again() {
    let now = Instant::now();
    let (mut view, mut picture) = (View::default(), picture(now));
    for (key, selected) in [
        (Key::Up, 0),
        (Key::Down, 1),
        (Key::PageDown, 2),
        (Key::Down, 2),
        (Key::Home, 0),
        (Key::End, 2),
        (Key::Up, 1),
    ] {
        assert_eq!(view.press(key, &picture), Next::Stay);
        assert_eq!(view.selected, selected, "{key:?}");
    }
    view.press(Key::Open, &picture);
    assert_eq!(view.open(), Some("claims"));
    let lines = screen(&mut view, &picture, now);
    assert!(lines.iter().any(|line| line.starts_with("claims  STATE waiting")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("NOT_RUNNING: does not run")), "{lines:#?}");
    view.press(Key::End, &picture);
    screen(&mut view, &picture, now);
    assert_eq!(view.scrolled, 0, "all of it is on the screen already");
    picture.answered(SystemStatus { links: Vec::new(), ..system() }, now);
    assert!(screen(&mut view, &picture, now)[2].contains("no such link any more"));
    assert_eq!((view.press(Key::Back, &picture), view.open()), (Next::Stay, None));
    assert_eq!(view.press(Key::Open, &picture), Next::Stay);
    assert_eq!(view.open(), None, "nothing is under the cursor");
    assert_eq!(view.press(Key::Back, &picture), Next::Leave);
    assert_eq!(View::default().press(Key::Leave, &picture), Next::Leave);
}
