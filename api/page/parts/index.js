// All parts, from one place.

export { Bars, Meter, Progress, Sparkline } from "./charts.js";
export { Button, Copy, Field, Filter, IconButton, Select, Tabs, Toggle } from "./controls.js";
export { confirm, Dialog, Dialogs, toast, Toasts } from "./dialogs.js";
export { Icon, Mark } from "./icons.js";
export { Age, Bytes, bytes, clock, Count, count, Duration, duration, Rate, Share } from "./numbers.js";
export { Code, Empty, Facts, Id, Json, Page, Panel, Problem, Skeleton } from "./page.js";
export { State, Tag, toneOf } from "./states.js";
export { Table } from "./table.js";
