//! The files of a spec as somebody names them: a file, a folder, standard input. They are sent as they stand: what is wrong
//! with them, the coordinators say.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use lockstep_proto::admin::SpecFile;
use lockstep_yaml::dr::{BYTES_MAX, FILES_MAX};

const STDIN: &str = "standard input";
const SUFFIXES: [&str; 2] = ["yaml", "yml"];

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SpecFiles {
    /// The spec: a file, a folder (its *.yaml and *.yml files together), or - for standard input; may be given several
    /// times
    #[arg(short = 'f', long = "file", value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl SpecFiles {
    /// As somebody would type it again.
    pub(crate) fn typed(&self) -> String {
        let paths = self.paths.iter().map(|path| format!("-f {}", path.display()));
        paths.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn is_given(&self) -> bool {
        !self.paths.is_empty()
    }

    /// # Errors
    /// In words: a path that cannot be read, a folder without a file, more than is read as one.
    pub(crate) fn read(&self) -> Result<Vec<SpecFile>, String> {
        let mut files = Vec::new();
        for path in &self.paths {
            if path.as_os_str() == "-" {
                let mut text = String::new();
                let limit = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX) + 1;
                let read = std::io::stdin().lock().take(limit).read_to_string(&mut text);
                read.map_err(|error| format!("{STDIN}: {error}"))?;
                files.push(SpecFile { name: STDIN.to_owned(), text });
            } else if path.is_dir() {
                files.extend(folder(path)?);
            } else {
                files.push(one(path)?);
            }
        }
        let bytes: usize = files.iter().map(|file| file.text.len()).sum();
        if bytes > BYTES_MAX || files.len() > FILES_MAX {
            return Err(format!(
                "{} files with {bytes} bytes: a spec has at most {FILES_MAX} files and {BYTES_MAX} bytes",
                files.len()
            ));
        }
        Ok(files)
    }
}

/// In the order of their names; what is below is not looked at.
fn folder(path: &Path) -> Result<Vec<SpecFile>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let suffix = file.extension().and_then(|suffix| suffix.to_str());
        if file.is_file() && suffix.is_some_and(|suffix| SUFFIXES.contains(&suffix)) {
            found.push(file);
        }
    }
    if found.is_empty() {
        return Err(format!("{}: holds no *.yaml or *.yml file", path.display()));
    }
    found.sort();
    found.iter().map(|file| one(file)).collect()
}

fn one(path: &Path) -> Result<SpecFile, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > u64::try_from(BYTES_MAX).unwrap_or(u64::MAX) {
        return Err(format!("{}: has {size} bytes; a spec has at most {BYTES_MAX}", path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(SpecFile { name: path.display().to_string(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_yaml_files_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("b.yml", "b"), ("a.yaml", "a"), ("README.md", "x")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::create_dir(folder.path().join("c.yaml")).unwrap();
        let files = SpecFiles { paths: vec![folder.path().to_owned()] };
        let read = files.read().unwrap();
        assert_eq!(read.iter().map(|file| file.text.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(read[0].name.ends_with("/a.yaml"), "{read:?}");
        let one = SpecFiles { paths: vec![folder.path().join("b.yml"), folder.path().join("a.yaml")] };
        assert_eq!(one.read().unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_there_or_too_large_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: PathBuf| SpecFiles { paths: vec![path] }.read().unwrap_err();
        assert!(read(folder.path().to_owned()).contains("holds no *.yaml"));
        assert!(read(folder.path().join("none.yaml")).contains("none.yaml: "));
        let large = folder.path().join("large.yaml");
        std::fs::write(&large, "#".repeat(BYTES_MAX + 1)).unwrap();
        assert!(read(large).contains("bytes"));
    }
}
