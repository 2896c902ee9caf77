//! Policies from files: each path is a file or a directory of `*.yaml` and `*.yml`.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use drop_core::policy::{Diagnostics, Policies, Source};

/// A policy file as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    name: String,
    text: String,
}

/// Reads every policy file below these paths, be it a pipe.
///
/// # Errors
/// A path cannot be read, or a directory holds no policy.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<File>> {
    read_by(paths, |path| std::fs::read_to_string(path))
}

/// As [`read`], of files that are read again and again.
///
/// # Errors
/// Those of [`read`], and that one is no regular file.
pub(crate) fn read_followed(paths: &[PathBuf]) -> Result<Vec<File>> {
    read_by(paths, followed)
}

/// The text of a file that is read again and again.
///
/// # Errors
/// It cannot be read, or is no regular file: a pipe would be waited for without an end.
pub(crate) fn followed(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.is_file() {
        std::fs::read_to_string(path)
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}

fn read_by(paths: &[PathBuf], text: impl Fn(&Path) -> io::Result<String>) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for path in paths {
        for file in listed(path)? {
            let text = text(&file).with_context(|| format!("policy `{}`", file.display()))?;
            files.push(File {
                name: file.display().to_string(),
                text,
            });
        }
    }
    Ok(files)
}

/// The policies in these files; they act side by side.
///
/// # Errors
/// Every mistake in them.
pub(crate) fn policies(files: &[File]) -> Result<Policies, Diagnostics> {
    let sources: Vec<_> = files
        .iter()
        .map(|file| Source {
            name: &file.name,
            text: &file.text,
        })
        .collect();
    Policies::parse(&sources)
}

/// As [`policies`], with the mistakes as text.
///
/// # Errors
/// Every mistake in them.
pub(crate) fn parse(files: &[File]) -> Result<Policies> {
    policies(files).map_err(|mistakes| anyhow::anyhow!("{mistakes}"))
}

/// The files of a directory in the order of their names; `..data` and the like of a mounted ConfigMap are left out.
fn listed(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("policy directory `{}`", path.display()))? {
        let file = entry?.path();
        let hidden = file
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_yaml = file
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml && !hidden && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        bail!("policy directory `{}`: no `*.yaml` file in it", path.display());
    }
    files.sort();
    Ok(files)
}
