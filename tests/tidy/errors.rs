//! Every code that an operator may see has its page in `docs/errors/`, and every page its code.

use lockstep_core::code::Code;

use crate::tree::{self, Fault, Text};

const FOLDER: &str = "docs/errors";
/// What an operator looks for, in this order.
const PARTS: [&str; 3] = ["\n## Cause\n", "\n## What to check\n", "\n## What to do\n"];

fn faults(pages: &[Text], codes: &[String]) -> Vec<Fault> {
    let path = |code: &String| format!("{FOLDER}/{code}.md");
    let mut faults = Vec::new();
    for code in codes {
        if !pages.iter().any(|page| page.path == path(code)) {
            faults.push(Text::new(&path(code), "").fault(0, "this code has no page: write it"));
        }
    }
    for page in pages {
        match codes.iter().find(|code| page.path == path(code)) {
            None => faults.push(page.fault(0, "no code of core/src/code.rs leads to this page")),
            Some(code) => {
                if !page.text.starts_with(&format!("# {code}: ")) {
                    faults.push(page.fault(1, format!("open with `# {code}: ` and what it is")));
                }
                let found: Vec<_> = PARTS.iter().map(|part| page.text.find(part)).collect();
                if found.iter().any(Option::is_none) || !found.is_sorted() {
                    faults.push(
                        page.fault(0, "say the cause, what to check, what to do, under these headings"),
                    );
                }
            }
        }
    }
    faults
}

#[test]
fn every_code_has_its_page_and_every_page_its_code() {
    let page = |name: &str, text: &str| Text::new(&format!("{FOLDER}/{name}.md"), text);
    let good = "# L-1: x\n\n## Cause\na\n\n## What to check\n- b\n\n## What to do\n- c\n";
    let codes = ["L-1".to_owned()];
    assert_eq!(faults(&[page("L-1", good)], &codes), []);
    assert_eq!(faults(&[], &codes).len(), 1);
    assert_eq!(faults(&[page("L-1", good), page("L-2", good)], &codes).len(), 1);
    assert_eq!(faults(&[page("L-1", &good.replace("L-1", "L-3"))], &codes).len(), 1);
    assert_eq!(faults(&[page("L-1", &good.replace("check", "x"))], &codes).len(), 1);

    let codes: Vec<_> = Code::ALL.iter().map(ToString::to_string).collect();
    tree::none(&faults(&tree::files(FOLDER, &["md"]), &codes));
}
