//! What is known of the running image: its symbols and its sites, and which site belongs to which function.

use super::{Symbol, SymbolTable};
use crate::tracer::{Site, SiteKind, STUB_REACH};
use alloc::{sync::Arc, vec::Vec};

/// Symbols and sites; replaced as a whole.
#[derive(Default)]
pub(super) struct Image {
    pub(super) symbols: Arc<SymbolTable>,
    /// Ascending by address.
    pub(super) sites: Vec<Site>,
}

impl Image {
    /// The functions of this name that have a site, with their start.
    pub(super) fn sites_of<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = (u64, Site)> + 'a {
        let starts = self.symbols.addresses(name);
        starts.filter_map(|start| Some((start, self.site_at(start)?)))
    }

    /// Whether several functions of this name have a site.
    #[inline(never)]
    pub(super) fn has_several(&self, name: &[u8]) -> bool {
        self.sites_of(name).nth(1).is_some()
    }

    /// The site of the function of this name, or of the one of this name that starts at this address.
    pub(super) fn site_of(&self, name: &str, start: Option<u64>) -> Option<Site> {
        match start {
            Some(start) => self.site_at(start),
            None => self.sites_of(name.as_bytes()).next().map(|(_, site)| site),
        }
    }

    /// The site of the function that starts at `start`.
    #[inline(never)]
    pub(super) fn site_at(&self, start: u64) -> Option<Site> {
        let at = self.sites.partition_point(|s| s.addr < start);
        let site = *self.sites.get(at)?;
        if site.addr.wrapping_sub(start) >= reach(site.kind) {
            return None;
        }
        let own = self.symbols.containing(site.addr);
        own.is_none_or(|(symbol, _)| symbol.address == start).then_some(site)
    }

    /// The site with this key.
    pub(super) fn site_with_key(&self, key: u64) -> Option<Site> {
        self.sites.iter().copied().find(|s| s.key() == key)
    }

    /// Why the function of a site must not be probed, by whichever of its names says so; `reason` is that of a name.
    pub(super) fn denied(&self, site: Site, reason: impl Fn(&str) -> Option<&'static str>) -> Option<&'static str> {
        let (symbol, _) = self.symbol_of(site)?;
        self.symbols.at(symbol.address).find_map(|symbol| reason(symbol.name))
    }

    /// The symbol at or before a site, and the distance in bytes; timers have none.
    fn symbol_of(&self, site: Site) -> Option<(Symbol<'_>, u64)> {
        self.symbols.containing(site.addr).filter(|_| site.kind != SiteKind::Timer)
    }

    /// Where the function of a site begins; 0 where that is unknown.
    pub(super) fn start_of(&self, site: Site) -> u64 {
        self.symbol_of(site).map_or(0, |(symbol, _)| symbol.address)
    }

    /// Name of the function that a site belongs to.
    #[inline(never)]
    pub(super) fn function_of(&self, site: Site) -> Option<&str> {
        let (symbol, distance) = self.symbol_of(site)?;
        (distance < reach(site.kind)).then_some(symbol.name)
    }
}

/// Nearer than this to a function's start, a site is the function's own.
fn reach(kind: SiteKind) -> u64 {
    match kind {
        // The nops stand at the entry or behind `endbr64`.
        SiteKind::Patchable => 5,
        SiteKind::Mcount => STUB_REACH,
        SiteKind::Instrumented => 1,
        SiteKind::Timer => 0,
    }
}
