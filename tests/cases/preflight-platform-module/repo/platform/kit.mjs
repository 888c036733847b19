export const kit = ;
