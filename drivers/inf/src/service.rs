//! AddService: the services of an install section.
//!
//! Sources: "INF DDInstall.Services Section" and "INF AddService Directive" of Microsoft's driver documentation.

use crate::lines::Line;
use crate::reader::Reader;
use crate::registry;
use crate::text::number;
use driver_core::DriverService;
use format_core::{Error, Result};

/// `SPSVCINST_ASSOCSERVICE`: the function driver of the device.
const FUNCTION_DRIVER: u32 = 0x2;

/// Adds the services of a `.Services` section to `services`; the name of the function driver among them.
///
/// # Errors
/// `Corrupt` for a service without type, start type, error control or binary: Windows has no defaults for them.
pub(crate) fn add(
    reader: &mut Reader<'_>,
    section: &str,
    services: &mut Vec<DriverService>,
) -> Result<Option<String>> {
    let mut function_driver = None;
    let lines = reader.with_needs(section)?;
    for line in lines.iter().filter(|line| line.is("AddService")) {
        // `AddService = ,2`: a device that needs no function driver.
        let Some(name) = line.field(0) else { continue };
        let flags = line.field(1).map_or(Some(0), number).unwrap_or_default();
        if flags & FUNCTION_DRIVER != 0 {
            function_driver = Some(name.to_owned());
        }
        reader.charge(size_of::<DriverService>() + services.len())?;
        if services.iter().any(|service| service.name.eq_ignore_ascii_case(name)) {
            continue;
        }
        let service = read(reader, name, line.field(2).unwrap_or_default())
            .map_err(|error| error.context(format!("service {name}")))?;
        services.push(service);
    }
    Ok(function_driver)
}

fn read(reader: &mut Reader<'_>, name: &str, section: &str) -> Result<DriverService> {
    let Some(own) = reader.section(section)? else {
        return Err(Error::corrupt(format!("its section [{section}] is not there")).in_format("inf"));
    };
    let lines: Vec<&Line> = own.iter().collect();
    let text = |key: &str| lines.iter().find(|line| line.is(key)).and_then(|line| line.field(0));
    let needed = |key: &str| {
        let what = match text(key) {
            Some(text) => match number(text) {
                Some(value) => return Ok(value),
                None => format!("{key} is {text}, possible are numbers"),
            },
            None => format!("[{section}] has no {key}"),
        };
        Err(Error::corrupt(what).in_format("inf"))
    };
    let path = text("ServiceBinary")
        .ok_or_else(|| Error::corrupt(format!("[{section}] has no ServiceBinary")).in_format("inf"))?;
    let binary = path.rsplit(['\\', '/']).next().unwrap_or_default();
    let dirid = path.strip_prefix('%').and_then(|path| path.split_once('%')).and_then(|(id, _)| number(id));
    Ok(DriverService {
        name: name.to_owned(),
        display_name: text("DisplayName").map(str::to_owned),
        service_type: needed("ServiceType")?,
        start: needed("StartType")?,
        error_control: needed("ErrorControl")?,
        load_order_group: text("LoadOrderGroup").map(str::to_owned),
        dependencies: reader.listed(&lines, "Dependencies")?.into_iter().map(str::to_owned).collect(),
        binary: binary.to_owned(),
        binary_dirid: dirid,
        values: registry::values(reader, &lines)?,
    })
}
