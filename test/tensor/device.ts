/**
 * The device that tensor and nn tests run on: the fastest that is certain to exist and needs no
 * compiler. Kernels themselves are compared across devices in test/kernels.
 */
import type { Device } from "../../src/device/device.ts";
import { openInterpreter } from "../../src/device/interpreter.ts";

export const openTestDevice = (): Device => openInterpreter();
