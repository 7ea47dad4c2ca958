//! How much memory and how large tables a module may have.

use std::ptr::NonNull;

use wasmer::{
    MemoryType, Pages, TableType,
    sys::{
        BaseTunables, Tunables,
        vm::{
            MemoryError, MemoryStyle, TableStyle, VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition,
        },
    },
};

/// The most entries of a table.
const MAX_TABLE_ENTRIES: u32 = 1_000_000;
const PAGE_BYTES: u64 = 64 * 1024;

/// The usual ways, within limits.
pub struct Capped {
    base: BaseTunables,
    most: Pages,
}

impl Capped {
    /// With at most so many bytes of memory.
    pub fn new(memory_bytes: u64) -> Self {
        let pages = (memory_bytes / PAGE_BYTES).clamp(1, 65_536) as u32;
        Self { base: BaseTunables::new(), most: Pages(pages) }
    }

    /// The memory as asked for, but with our maximum; refused where it starts out too large.
    fn memory(&self, asked: &MemoryType) -> Result<MemoryType, MemoryError> {
        if asked.minimum > self.most {
            return Err(MemoryError::Generic(format!(
                "the memory has {} pages; {} are allowed",
                asked.minimum.0, self.most.0
            )));
        }
        let maximum = asked.maximum.map_or(self.most, |most| most.min(self.most));
        Ok(MemoryType { maximum: Some(maximum), ..*asked })
    }

    fn table(&self, asked: &TableType) -> Result<TableType, String> {
        if asked.minimum > MAX_TABLE_ENTRIES {
            return Err(format!("the table has {} entries; {MAX_TABLE_ENTRIES} are allowed", asked.minimum));
        }
        let maximum = asked.maximum.map_or(MAX_TABLE_ENTRIES, |most| most.min(MAX_TABLE_ENTRIES));
        Ok(TableType { maximum: Some(maximum), ..*asked })
    }
}

impl Tunables for Capped {
    fn memory_style(&self, memory: &MemoryType) -> MemoryStyle {
        self.base.memory_style(memory)
    }

    fn table_style(&self, table: &TableType) -> TableStyle {
        self.base.table_style(table)
    }

    fn create_host_memory(&self, asked: &MemoryType, style: &MemoryStyle) -> Result<VMMemory, MemoryError> {
        self.base.create_host_memory(&self.memory(asked)?, style)
    }

    unsafe fn create_vm_memory(
        &self,
        asked: &MemoryType,
        style: &MemoryStyle,
        place: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        let allowed = self.memory(asked)?;
        // SAFETY: the caller promises that the place is valid, which is all that is needed.
        unsafe { self.base.create_vm_memory(&allowed, style, place) }
    }

    fn create_host_table(&self, asked: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        self.base.create_host_table(&self.table(asked)?, style)
    }

    unsafe fn create_vm_table(
        &self,
        asked: &TableType,
        style: &TableStyle,
        place: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        let allowed = self.table(asked)?;
        // SAFETY: the caller promises that the place is valid, which is all that is needed.
        unsafe { self.base.create_vm_table(&allowed, style, place) }
    }
}
