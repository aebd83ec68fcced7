//! Certificates made for one test: a CA, and what it has signed, good or not.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// A CA with a directory for its files.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// The two files of a certificate, as they are given to flags.
#[derive(Clone, Debug)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Ca {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a CA");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
        let ca = Self { issuer, directory: tempfile::tempdir().expect("a directory") };
        fs::write(ca.file(), ca.issuer.pem()).expect("written");
        ca
    }

    /// Its own certificate.
    pub fn file(&self) -> PathBuf {
        self.path("ca")
    }

    /// A certificate for these names, whose subject is the first of them.
    pub fn signs(&self, names: &[&str]) -> Files {
        self.signs_with(names, |_| {})
    }

    /// One that has expired.
    pub fn signs_expired(&self, names: &[&str]) -> Files {
        self.signs_with(names, |params| {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        })
    }

    fn signs_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Files {
        let mut params =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).expect("names");
        params.distinguished_name.push(DnType::CommonName, names[0]);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let number = fs::read_dir(self.directory.path()).expect("there").count();
        let files = Files { certificate: self.path(&number.to_string()), key: self.path(&format!("{number}-key")) };
        fs::write(&files.certificate, certificate.pem()).expect("written");
        fs::write(&files.key, key.serialize_pem()).expect("written");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name).with_extension("pem")
    }
}

impl Files {
    /// In the place of these.
    pub fn become_those(&self, others: &Self) {
        fs::copy(&others.certificate, &self.certificate).expect("copied");
        fs::copy(&others.key, &self.key).expect("copied");
    }
}
