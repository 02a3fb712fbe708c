//! The console: the first serial port.

use core::fmt::{self, Write};

use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

use crate::cell::IrqCell;

static UART: IrqCell<Option<Uart16550<PioBackend>>> = IrqCell::new(None);

/// Sets the port up.
pub fn init() {
    // SAFETY: 0x3f8 is the first serial port of every PC; nobody else uses it.
    let Ok(mut uart) = (unsafe { Uart16550::new_port(0x3f8) }) else {
        return;
    };
    // An error only means that nobody listens.
    let _ = uart.init(Config::default());
    UART.with(|slot| *slot = Some(uart));
}

/// Writes all bytes.
pub fn write(bytes: &[u8]) {
    // When the image dies while it writes, the report is worth more than the lock's promise: it is skipped.
    UART.with_patience(|uart| {
        if let Some(uart) = uart {
            uart.send_bytes_exact(bytes);
        }
    });
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}

/// Prints formatted text; use `println!`.
pub fn print(arguments: fmt::Arguments<'_>) {
    let _ = Console.write_fmt(arguments);
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    ($($part:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($part)*))) };
}
