"""M3I at full scale: labelled images and pairs of images and texts from several sources."""
