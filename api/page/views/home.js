// The first place: operators see how the platform does, developers send a job.

import { useEffect } from "../lib/preact.js";
import { link } from "../router.js";

export default function View({ session }) {
  useEffect(() => location.replace(link(session.may("operate:read") ? "/overview" : "/new")), [session]);
  return null;
}
