//! Whom PostgreSQL runs as: it refuses to be root.

use super::PostgresError;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Another user than ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// `None` means ourselves.
    pub(super) fn choose(user: Option<&str>) -> Result<Option<Self>, PostgresError> {
        // Our own folder in /proc belongs to whom we run as.
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let Some(user) = user else {
            return if is_root { Err(PostgresError::Root) } else { Ok(None) };
        };
        if !is_root {
            return Err(PostgresError::NotRoot { user: user.to_owned() });
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        match Self::find(&users, user) {
            None => Err(PostgresError::NoUser { user: user.to_owned() }),
            Some(account) if account.uid == 0 => Err(PostgresError::Root),
            Some(account) => Ok(Some(account)),
        }
    }

    fn find(users: &str, name: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next()? == name;
            let (_password, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
            found.then_some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\nnobody2:x:7:8::/:/x\nnobody:x:65534:65533::/:/x\n";
        assert_eq!(Account::find(users, "nobody"), Some(Account { uid: 65534, gid: 65533 }));
        assert_eq!(Account::find(users, "nob"), None);
    }
}
